// What travels between ranks and the rendezvous reads back as it was written, and no bytes upset the readers.
#include <gmock/gmock.h>

#include <random>

#include "bootstrap/frames.hpp"
#include "bootstrap/interfaces.hpp"
#include "bootstrap/place.hpp"
#include "bootstrap/roll_call.hpp"
#include "bootstrap/wire.hpp"
#include "tests/support/seed.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace tenon::bootstrap {
namespace {

Hello full_hello() {
    Hello hello{.who = {.rank = 5, .process = 1234, .process_token = {1, 2}},
                .agreement = {.rank_count = 8, .segment = {1ULL << 40}, .build = "1.0", .configuration = "A=1\nB=2\n"},
                .offers_arena = true,
                .patience_ms = 77};
    hello.agreement.preferences = "TENON_SPIN=5\n";
    hello.who.preferences = 99;
    hello.obstacle = "no device";
    hello.who.cores.set(0).set(63).set(64).set(1023);
    hello.texts = digest_of_texts(hello.agreement);
    return hello;
}

TEST(Wire, HelloReadsBack) {
    const Hello sent = full_hello();
    const auto read = read_hello(write_hello(sent));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->who.rank, sent.who.rank);
    EXPECT_EQ(read->who.process, sent.who.process);
    EXPECT_EQ(read->who.process_token, sent.who.process_token);
    EXPECT_EQ(read->who.cores, sent.who.cores);
    EXPECT_EQ(read->agreement.rank_count, sent.agreement.rank_count);
    EXPECT_EQ(read->agreement.segment, sent.agreement.segment);
    EXPECT_EQ(read->agreement.build, sent.agreement.build);
    EXPECT_EQ(read->agreement.configuration, sent.agreement.configuration);
    EXPECT_EQ(read->texts, sent.texts);
    EXPECT_TRUE(read->offers_arena);
    EXPECT_EQ(read->patience_ms, 77U);
    EXPECT_EQ(read->agreement.preferences, sent.agreement.preferences);
    EXPECT_EQ(read->who.preferences, 99U);
    EXPECT_EQ(read->obstacle, "no device");
}

TEST(Wire, LongTextsAreCutAndHarmless) {
    Hello hello = full_hello();
    hello.agreement.build = "\x1b[31m" + std::string(100, 'b');
    hello.agreement.configuration = std::string(5000, 'c');
    const auto read = read_hello(write_hello(hello));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->agreement.build, "?[31m" + std::string(build_bytes_limit - 5, 'b'));
    EXPECT_EQ(read->agreement.configuration.size(), configuration_bytes_limit);
}

TEST(Wire, ProofIsTheSecretsAlone) {
    const Secret secret = random_invitation()->secret;
    Proof proof = write_proof(secret);
    EXPECT_EQ(read_proof(proof, secret), wire_version);
    for (std::size_t i = 0; i < 24; i++) {
        proof[i] ^= std::byte{1};
        EXPECT_FALSE(read_proof(proof, secret)) << "byte " << i;
        proof[i] ^= std::byte{1};
    }
}

std::span<const std::byte> payload_of(const Bytes& frame) { return std::span{frame}.subspan(frame_header_bytes); }

os::InternetAddress some_address() { return os::resolve("10.77.0.1", 5000).value().front(); }

Table some_table() {
    Table table{{},
                {{{1, 2}, "host1"}, {{3, 4}, "host2", {"eth0", some_address(), 9000, 25'000}}},
                std::vector<Introduction>(3)};
    table.preferences = {{7, "TENON_SPIN=5\n"}, {8, ""}};
    table.key.bytes[5] = std::byte{7};
    table.ranks[1] = full_hello().who;
    table.ranks[1].arena = 0;
    table.ranks[1].host = 1;
    table.ranks[1].address = some_address();
    for (Rank rank = 0; rank < 3; rank++) table.ranks[static_cast<std::size_t>(rank)].rank = rank;
    return table;
}

TEST(Wire, TableReadsBack) {
    const Table sent = some_table();
    const auto bytes = write_table(sent);
    const auto header = read_frame_header(std::span{bytes}.first<frame_header_bytes>());
    ASSERT_TRUE(header);
    EXPECT_EQ(header->kind, FrameKind::table);
    EXPECT_EQ(header->payload_bytes + frame_header_bytes, bytes.size());
    const auto table = read_table(payload_of(bytes));
    ASSERT_TRUE(table);
    EXPECT_TRUE(table->key.equals(sent.key));
    EXPECT_EQ(table->hosts[1].name, "host2");
    EXPECT_EQ(table->hosts[1].network.interface, "eth0");
    EXPECT_EQ(table->hosts[1].network.address, some_address());
    EXPECT_EQ(table->hosts[1].network.mtu, 9000U);
    EXPECT_EQ(table->hosts[1].network.speed_mbps, 25'000U);
    EXPECT_EQ(table->preferences, sent.preferences);
    EXPECT_EQ(table->hosts[1].node, sent.hosts[1].node);
    EXPECT_EQ(table->ranks[1].cores, sent.ranks[1].cores);
    EXPECT_EQ(table->ranks[1].arena, 0);
    EXPECT_EQ(table->ranks[1].host, 1);
    EXPECT_EQ(table->ranks[1].address, some_address());
    EXPECT_EQ(table->ranks[2].arena, -1);
    EXPECT_FALSE(table->ranks[2].address.valid());
    EXPECT_FALSE(read_table(payload_of(bytes).subspan(1)));
    Table wrong = some_table();
    wrong.ranks[2].host = 2;
    EXPECT_FALSE(read_table(payload_of(write_table(wrong)))) << "there is no such host";
}

TEST(Wire, RefusalReadsBack) {
    const Error read = read_refusal(payload_of(write_refusal({Status::mismatch, "say why"})));
    EXPECT_EQ(read.status, Status::mismatch);
    EXPECT_EQ(read.message, "say why");
}

TEST(Wire, WhatHostsTellEachOtherReadsBack) {
    const auto host = read_host(payload_of(write_host({{5, 6}, "host3", full_hello()})));
    ASSERT_TRUE(host);
    EXPECT_EQ(host->node, (NodeToken{5, 6}));
    EXPECT_EQ(host->name, "host3");
    EXPECT_EQ(host->first.agreement.configuration, full_hello().agreement.configuration);
    const auto rows = read_rows(payload_of(write_rows({{5, 6}, 77, {full_hello().who, full_hello().who}})));
    ASSERT_TRUE(rows);
    EXPECT_EQ(rows->patience_ms, 77U);
    ASSERT_EQ(rows->ranks.size(), 2U);
    const auto note = read_note(payload_of(write_note({NoteKind::obstacle, {5, 6}, full_hello().who, "no device"})));
    ASSERT_TRUE(note);
    EXPECT_EQ(note->kind, NoteKind::obstacle);
    EXPECT_EQ(note->node, (NodeToken{5, 6}));
    EXPECT_EQ(note->who.rank, 5);
    EXPECT_EQ(note->text, "no device");
    EXPECT_EQ(rows->ranks[1].cores, full_hello().who.cores);
    EXPECT_EQ(read_link(payload_of(write_link(3))).value(), 3);
    const auto welcome = read_welcome(payload_of(write_welcome({{7, 8}, "host1"}))).value();
    EXPECT_EQ(welcome.node, (NodeToken{7, 8}));
    EXPECT_EQ(welcome.host, "host1");
    const auto elsewhere = read_elsewhere(payload_of(write_elsewhere({some_address(), "host4"})));
    ASSERT_TRUE(elsewhere);
    EXPECT_EQ(elsewhere->address, some_address());
    EXPECT_EQ(elsewhere->host, "host4");
    const auto claim = read_claim(write_claim({some_address(), Errand::packet_check}));
    ASSERT_TRUE(claim);
    EXPECT_EQ(claim->listens, some_address());
    EXPECT_EQ(claim->errand, Errand::packet_check);
    EXPECT_FALSE(read_elsewhere(payload_of(write_elsewhere({})))) << "nowhere is no place to go";
    EXPECT_FALSE(read_claim({}));
}

// However the bytes come, and whatever follows the frame stays in the socket.
TEST(Frames, ComeInPiecesAndAreNotOverread) {
    auto ends = os::LocalSocket::pair().value();
    const auto deadline = os::Deadline::after_ms(10'000);
    Bytes bytes = write_table(some_table());
    const std::size_t frame_size = bytes.size();
    bytes.push_back(std::byte{42});
    FrameReader reader;
    for (std::size_t i = 0; i < frame_size; i++) {
        const auto before = reader.read(ends.second);
        ASSERT_TRUE(before && !*before) << "after " << i << " bytes";
        ASSERT_TRUE(ends.first.send(std::span{bytes}.subspan(i, i + 1 == frame_size ? 2 : 1), deadline));
    }
    const auto frame = reader.read(ends.second);
    ASSERT_TRUE(frame && *frame);
    EXPECT_TRUE(read_table((*frame)->payload));
    std::array<std::byte, 1> next;
    ASSERT_TRUE(ends.second.receive(next, deadline));
    EXPECT_EQ(next[0], std::byte{42});
}

TEST(UniqueIds, DifferByJobAndReadBack) {
    EXPECT_EQ(unique_id_for_job("a"), unique_id_for_job("a"));
    EXPECT_NE(unique_id_for_job("a"), unique_id_for_job("b"));
    EXPECT_TRUE(read_unique_id(unique_id_for_job("a"))->is_by_job);
    Invitation invitation = random_invitation().value();
    invitation.place = "[fd77::1]:29400";
    const auto read = read_unique_id(write_unique_id(invitation));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->socket_name(), invitation.socket_name());
    EXPECT_EQ(read->place, invitation.place);
    EXPECT_TRUE(read->secret.equals(invitation.secret));
    EXPECT_FALSE(read->is_by_job);
    EXPECT_NE(read->socket_name("a"), read->socket_name("b")) << "hosts with different ids do not share a socket";
    EXPECT_THAT(invitation_for_job("a", std::string(100, 'x')).error().message, testing::HasSubstr("too long"));
}

TEST(Places, AreReadStrictly) {
    EXPECT_TRUE(read_place("")->is_one_host());
    EXPECT_EQ(read_place("node0:29400")->host, "node0");
    EXPECT_EQ(read_place("node0:29400")->port, 29400);
    EXPECT_EQ(read_place("[fd77::1]:29400")->host, "fd77::1");
    EXPECT_EQ(read_place("[fd77::1]:29400")->port, 29400);
    EXPECT_EQ(read_place("fd77::1")->host, "fd77::1");
    EXPECT_EQ(read_place("node0")->port, 0);
    EXPECT_EQ(read_place("file:/a/b:c")->file, "/a/b:c");
    EXPECT_TRUE(read_place("127.0.0.1:5")->is_loopback());
    for (const char* wrong : {":5", "node0:", "node0:0", "node0:65536", "node0:x", "file:", "[]:5", "[::1", "[::1]5",
                              "a b:5", "node0:5 ", "/a/b", "[::1]:5:6"})
        EXPECT_FALSE(read_place(wrong)) << wrong;
}

TEST(Places, HaveEightPortsOfTheirOwn) {
    for (const std::uint64_t meeting : {0ULL, 1ULL, ~0ULL, 77ULL << 40}) {
        const auto ports = ports_of({.host = "node0"}, meeting);
        ASSERT_EQ(ports.size(), 8U);
        for (const std::uint16_t port : ports) EXPECT_TRUE(port >= 20'000 && port < 32'768) << port;
    }
    EXPECT_EQ(ports_of({.host = "node0", .port = 5}, 1), std::vector<std::uint16_t>{5});
}

os::NetworkInterface interface(const std::string& name, const std::string& address) {
    return {name, os::resolve(address, 0).value().front(), name == "lo", 1500};
}

std::string chosen(const std::vector<os::NetworkInterface>& all, std::string_view wanted) {
    const auto one = choose_interface(all, wanted);
    return !one ? one.error().message : *one ? (*one)->name + " " + (*one)->address.host_text() : "none";
}

TEST(Interfaces, AreChosenAsWantedOrByLikelihood) {
    const std::vector<os::NetworkInterface> all{interface("lo", "127.0.0.1"), interface("docker0", "172.17.0.1"),
                                                interface("eth1", "fe80::1"), interface("eth0", "10.0.0.5"),
                                                interface("ib0", "10.1.0.5")};
    EXPECT_EQ(chosen(all, ""), "eth0 10.0.0.5");
    EXPECT_EQ(chosen(all, "ib"), "ib0 10.1.0.5");
    EXPECT_EQ(chosen(all, "=ib0"), "ib0 10.1.0.5");
    EXPECT_EQ(chosen(all, "eth,ib"), "eth0 10.0.0.5");
    EXPECT_EQ(chosen(all, "^eth,lo,docker"), "ib0 10.1.0.5");
    EXPECT_EQ(chosen(all, "lo"), "lo 127.0.0.1");
    EXPECT_THAT(chosen(all, "=ib"),
                testing::AllOf(testing::HasSubstr("TENON_SOCKET_INTERFACE==ib"),
                               testing::HasSubstr("docker0 (172.17.0.1)"), testing::HasSubstr("ib0 (10.1.0.5)")));
    EXPECT_EQ(chosen({all[0], all[1]}, ""), "docker0 172.17.0.1");
    EXPECT_EQ(chosen({all[0]}, ""), "lo 127.0.0.1");
    EXPECT_EQ(chosen({}, ""), "none");
}

TEST(RankNames, AreReadable) {
    EXPECT_EQ(name_ranks({3}), "rank 3");
    EXPECT_EQ(name_ranks({3, 5}), "ranks 3 and 5");
    EXPECT_EQ(name_ranks({0, 3, 5}), "ranks 0, 3 and 5");
    EXPECT_THAT(name_ranks(std::vector<Rank>(1000, 7)), testing::EndsWith("7 ... and 984 more"));
}

// The fuzzer's target over its seeds, each damaged in many ways, where no fuzzer can be built.
TEST(Wire, SurvivesDamage) {
    auto random = support::random_generator();
    std::vector<std::vector<std::byte>> whole;
    const auto add = [&](std::uint8_t kind, auto bytes) {
        whole.emplace_back(1, std::byte{kind}).insert(whole.back().end(), bytes.begin(), bytes.end());
    };
    add(0, write_proof(random_invitation()->secret));
    add(1, write_hello(full_hello()));
    add(2, write_table(some_table()));
    add(2, write_host({{5, 6}, "host3", full_hello()}));
    add(2, write_rows({{5, 6}, 77, {full_hello().who, full_hello().who}}));
    add(2, write_link(3));
    add(2, write_welcome({{7, 8}, "host1"}));
    add(2, write_elsewhere({some_address(), "host4"}));
    add(2, write_note({NoteKind::obstacle, {5, 6}, full_hello().who, "no device"}));
    add(4, write_claim({some_address()}));
    const std::string place = "[fd77::1]:29400";
    add(5, std::as_bytes(std::span{place}));
    add(2, write_refusal({Status::timeout, "late"}));
    add(3, unique_id_for_job("a").bytes);
    for (const auto& original : whole) {
        for (int round = 0; round < 300; round++) {
            auto bytes = original;
            for (unsigned changes = 1 + random() % 8; changes > 0; changes--)
                bytes[random() % bytes.size()] = static_cast<std::byte>(random());
            if (random() % 4 == 0) bytes.resize(random() % bytes.size());
            EXPECT_EQ(LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()), 0);
        }
    }
}

}  // namespace
}  // namespace tenon::bootstrap
