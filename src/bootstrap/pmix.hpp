// How the ranks of a job learn the address of rank 0's host from their launcher, where that speaks PMIx and nothing
// else says it: every rank puts its own up at the PMIx server of its host, and asks there for rank 0's. There is no
// fence: nobody waits for ranks that make no communicator. The module that links libpmix is loaded when first needed.
//
// Thread-safe. The calls to PMIx have threads of their own, since nothing bounds them from outside; the end of the
// process waits for them a little.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "tenon/plugin/types.hpp"

namespace tenon::bootstrap {

// An error says which module or library is missing and what helps.
Result<void> find_pmix();

// Puts this process's address up for those that ask. Returns at once; a failure is logged.
Result<void> put_up_address(std::string address);

// A question after rank 0's address, from its making until it is destroyed. Move-only.
class AddressQuestion {
public:
    static Result<AddressQuestion> ask();

    AddressQuestion(AddressQuestion&&) = default;
    AddressQuestion& operator=(AddressQuestion&&) = delete;
    ~AddressQuestion();
    // Nothing as long as rank 0 has said nothing.
    std::optional<Result<std::string>> answer() const;

private:
    class Asking;
    explicit AddressQuestion(std::shared_ptr<Asking> asking) : asking_{std::move(asking)} {}
    std::shared_ptr<Asking> asking_;
};

}  // namespace tenon::bootstrap
