// The ends of a ring: every message arrives once, in order and whole, whatever the lengths, forms and who is ahead;
// credits come by themselves, also where all of them travel in headers.
#include "tenon/plugin/slots.hpp"

#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <random>
#include <vector>

#include "os/memory.hpp"
#include "tests/support/seed.hpp"

namespace tenon {
namespace {

constexpr std::uint32_t signature = 0x5eed;

// Two rings of one pair, both sides in this thread.
class Pair {
public:
    explicit Pair(const RingShape& shape)
        : shape_(shape), memory_(std::move(*os::Mapping::anonymous({2 * shape.bytes()}))) {
        for (std::size_t side = 0; side < 2; side++) {
            std::byte* own = memory_.data() + side * shape.bytes();
            auto* taken = reinterpret_cast<Taken*>(own + shape.taken_offset());
            out[side] = SendEnd(own, shape, {taken, 1});
            in[1 - side] = ReceiveEnd(own, shape, taken);
        }
    }
    void pair_up() {
        for (std::size_t side = 0; side < 2; side++) out[side].pair_with(in[side]);
    }

    SendEnd out[2];
    ReceiveEnd in[2];

private:
    RingShape shape_;
    os::Mapping memory_;
};

struct Sent {
    std::size_t length;
    unsigned char value;
};

bool try_send(SendEnd& end, const Sent& message) {
    std::vector<std::byte> bytes(message.length, std::byte{message.value});
    if (message.length <= packed_bytes) {
        if (!end.may_send_packed(message.length)) return false;
        end.send_packed(bytes.data(), bytes.size(), signature);
        return true;
    }
    const Row row = end.row_of(message.length);
    if (!end.may_send_bulk(row)) return false;
    std::memcpy(end.payload(row, message.length), bytes.data(), bytes.size());
    end.send_staged(row, message.length, signature);
    return true;
}

void expect_taken(ReceiveEnd& end, const Sent& message) {
    std::vector<std::byte> got(message.length);
    if (message.length <= packed_bytes) {
        ASSERT_EQ(end.packed_arrival(message.length, signature), Arrival::here);
        end.take_packed(got.data(), got.size());
    } else {
        const Row row = end.row_of(message.length);
        ASSERT_EQ(end.bulk_arrival(row, signature), Arrival::here);
        ASSERT_EQ(end.header(row).length, message.length);
        std::memcpy(got.data(), end.payload(row), got.size());
        end.release_bulk(row, false);
    }
    EXPECT_EQ(got, std::vector<std::byte>(message.length, std::byte{message.value})) << message.length << " bytes";
}

class Slots : public testing::TestWithParam<bool> {};  // do credits travel in headers?

TEST_P(Slots, EveryMessageArrivesWhole) {
    std::mt19937_64 random = support::random_generator();
    for (const RingShape& shape :
         {RingShape{.slots = 8, .slot_bytes = 4096, .area_bytes = 9 * 4096, .medium_slots = 4, .medium_bytes = 1024},
          RingShape{.slots = 8,
          .slot_bytes = 4096,
          .area_bytes = 9 * 4096,
          .medium_slots = 4,
          .medium_bytes = 1024,
          .reuses_lowest = true},
          RingShape{.slots = 2, .slot_bytes = 1024, .area_bytes = 20'000, .medium_slots = 2, .medium_bytes = 1024},
          RingShape{.lines = least_packed_lines,
          .slots = 2,
          .slot_bytes = 1024,
          .area_bytes = 2 * 1024,
          .medium_slots = 1,
          .reuses_lowest = true,
          .alignment = cache_line_bytes},
          RingShape{.slots = 16,
          .slot_bytes = 2048,
          .area_bytes = 17 * 2048 + 100,
          .medium_slots = 8,
          .medium_bytes = 768}}) {
        Pair pair(shape);
        if (GetParam()) pair.pair_up();
        std::deque<Sent> under_way[2];
        for (int turn = 0; turn < 20'000; turn++) {
            const std::size_t side = random() % 2;
            if (random() % 2 == 0) {
                const std::size_t medium = std::max<std::size_t>(shape.medium_bytes, 1);
                const std::size_t most = std::array{packed_bytes, medium,
                                                    std::size_t{shape.slot_bytes}}[random() % 3];
                const Sent message{1 + random() % most, static_cast<unsigned char>(random())};
                if (try_send(pair.out[side], message)) under_way[side].push_back(message);
            } else if (!under_way[side].empty()) {
                expect_taken(pair.in[1 - side], under_way[side].front());
                under_way[side].pop_front();
            }
            ASSERT_FALSE(HasFailure()) << "turn " << turn;
        }
        for (std::size_t side = 0; side < 2; side++)
            for (const Sent& message : under_way[side]) expect_taken(pair.in[1 - side], message);
    }
}

void expect_two_under_way(const RingShape& shape, bool paired, std::mt19937_64& random) {
    Pair pair(shape);
    if (paired) pair.pair_up();
    for (int turn = 0; turn < 5000; turn++) {
        const std::size_t side = random() % 2;
        const Sent messages[2] = {{100 + random() % 3900, static_cast<unsigned char>(random())},
                                  {100 + random() % 3900, static_cast<unsigned char>(random())}};
        for (const Sent& m : messages) ASSERT_TRUE(try_send(pair.out[side], m)) << "turn " << turn;
        for (const Sent& m : messages) expect_taken(pair.in[1 - side], m);
    }
}

// A plan may count on two messages of each row under way, whatever the other side has sent back and not told.
TEST_P(Slots, TwoMessagesMayAlwaysBeUnderWay) {
    std::mt19937_64 random = support::random_generator();
    for (const RingShape& shape :
         {RingShape{.slots = 8, .slot_bytes = 4096, .area_bytes = 9 * 4096, .medium_slots = 4, .medium_bytes = 1024},
          RingShape{.lines = least_packed_lines, .slots = 2, .slot_bytes = 4096, .area_bytes = 2 * 4096,
                    .medium_slots = 1, .reuses_lowest = true, .alignment = cache_line_bytes}})
        expect_two_under_way(shape, GetParam(), random);
}

// What has been taken, as far as is known, is written again first.
TEST(SlotsReused, TheLowestFreeCellIsNext) {
    const RingShape shape{.slots = 2,
                          .slot_bytes = 4096,
                          .area_bytes = 3 * 4096,
                          .medium_slots = 2,
                          .medium_bytes = 1024,
                          .reuses_lowest = true};
    Pair pair(shape);
    const Sent message{2000, 1};
    std::vector<const std::byte*> cells;
    const auto take = [&] {
        cells.push_back(pair.in[1].payload(Row::large));
        expect_taken(pair.in[1], message);
    };
    for (int i = 0; i < 2; i++) ASSERT_TRUE(try_send(pair.out[0], message));
    ASSERT_FALSE(try_send(pair.out[0], message)) << "all cells are under way";
    take();
    ASSERT_TRUE(try_send(pair.out[0], message));
    for (int i = 0; i < 2; i++) take();
    EXPECT_EQ(cells[1], cells[0] + shape.slot_bytes);
    EXPECT_EQ(cells[2], cells[0]);
    for (int i = 0; i < 4; i++) {
        ASSERT_TRUE(try_send(pair.out[0], message));
        take();
    }
    EXPECT_LE(*std::max_element(cells.begin(), cells.end()), cells[1]) << "never more cells than are under way";
}

// A lane that sends first and receives later finds its credit in a message that it has not taken.
TEST(SlotsPaired, CreditsAreFoundInMessagesNotYetTaken) {
    const RingShape shape{
        .slots = 8, .slot_bytes = 4096, .area_bytes = 9 * 4096, .medium_slots = 4, .medium_bytes = 1024};
    Pair pair(shape);
    pair.pair_up();
    const Sent message{900, 1};
    for (int i = 0; i < 4; i++) ASSERT_TRUE(try_send(pair.out[0], message));
    ASSERT_FALSE(try_send(pair.out[0], message)) << "all slots are under way";
    expect_taken(pair.in[1], message);
    ASSERT_TRUE(try_send(pair.out[1], message)) << "says that one was taken";
    EXPECT_TRUE(try_send(pair.out[0], message));
    EXPECT_FALSE(try_send(pair.out[0], message)) << "but no more than one";
}

TEST(SlotsArrival, AnotherSignatureIsAMismatchAndTheNextNumberIsNot) {
    const RingShape shape{
        .slots = 8, .slot_bytes = 4096, .area_bytes = 9 * 4096, .medium_slots = 4, .medium_bytes = 1024};
    Pair pair(shape);
    EXPECT_EQ(pair.in[1].bulk_arrival(Row::medium, signature), Arrival::none);
    EXPECT_EQ(pair.in[1].next_signature(), std::nullopt);
    ASSERT_TRUE(try_send(pair.out[0], {900, 1}));
    EXPECT_EQ(pair.in[1].bulk_arrival(Row::medium, signature + 1), Arrival::mismatch);
    EXPECT_EQ(pair.in[1].bulk_arrival(Row::large, signature), Arrival::none);
    EXPECT_EQ(pair.in[1].next_signature(), signature);
}

INSTANTIATE_TEST_SUITE_P(Credits, Slots, testing::Bool(),
                         [](const auto& credits) { return credits.param ? "InHeaders" : "InTheirLine"; });

}  // namespace
}  // namespace tenon
