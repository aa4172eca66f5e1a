// The same through the C++ wrapper, with the ranks as threads.
#include <array>
#include <exception>
#include <iostream>
#include <tenon/tenon.hpp>
#include <thread>

int main() try {
    std::vector<tenon::Communicator> ranks = tenon::Communicator::create_all(2);
    std::array<int, 2> sums{};
    std::thread other([&] {
        const std::array values{4};
        ranks[1].all_reduce(values, std::span(sums).subspan(1));
    });
    const std::array values{3};
    ranks[0].all_reduce(values, std::span(sums).first(1));
    other.join();
    if (sums == std::array{7, 7}) return 0;
    std::cerr << "3 + 4 is " << sums[0] << " on rank 0 and " << sums[1] << " on rank 1\n";
    return 1;
} catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
}
