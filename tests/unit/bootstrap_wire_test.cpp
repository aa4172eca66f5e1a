// What travels between ranks and the rendezvous reads back as it was written, and no bytes upset the readers.
#include <gmock/gmock.h>

#include <random>

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

TEST(Wire, TableAndRefusalReadBack) {
    std::vector<Introduction> ranks(3);
    ranks[1] = full_hello().who;
    ranks[1].rank = 1;
    ranks[1].arena = 0;
    const auto bytes = write_table(ranks, 1);
    const auto header = read_frame_header(std::span{bytes}.first<frame_header_bytes>());
    ASSERT_TRUE(header);
    EXPECT_EQ(header->kind, FrameKind::table);
    EXPECT_EQ(header->payload_bytes + frame_header_bytes, bytes.size());
    const auto table = read_table(std::span{bytes}.subspan(frame_header_bytes));
    ASSERT_TRUE(table);
    EXPECT_EQ(table->arena_count, 1U);
    EXPECT_EQ(table->ranks[1].cores, ranks[1].cores);
    EXPECT_EQ(table->ranks[1].arena, 0);
    EXPECT_EQ(table->ranks[2].arena, -1);
    EXPECT_FALSE(read_table(std::span{bytes}.subspan(frame_header_bytes + 1)));

    const auto refusal = write_refusal({Status::mismatch, "say why"});
    const Error read = read_refusal(std::span{refusal}.subspan(frame_header_bytes));
    EXPECT_EQ(read.status, Status::mismatch);
    EXPECT_EQ(read.message, "say why");
}

TEST(UniqueIds, DifferByJobAndReadBack) {
    EXPECT_EQ(unique_id_for_job("a"), unique_id_for_job("a"));
    EXPECT_NE(unique_id_for_job("a"), unique_id_for_job("b"));
    EXPECT_TRUE(read_unique_id(unique_id_for_job("a"))->rank_zero_serves);
    const Invitation invitation = random_invitation().value();
    const auto read = read_unique_id(write_unique_id(invitation));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->socket_name, invitation.socket_name);
    EXPECT_TRUE(read->secret.equals(invitation.secret));
    EXPECT_FALSE(read->rank_zero_serves);
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
    add(2, write_table(std::vector<Introduction>(4, full_hello().who), 4));
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
