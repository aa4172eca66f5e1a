// What users may say of UCX (TENON_UCX_*), for the network over it.
#pragma once

namespace tenon {

// Whether large messages are put into memory that their receiver has registered and offered.
enum class UcxPuts {
    automatic,  // to peers that UCX reaches by devices that write into memory
    always,
    never,
};

struct UcxChoices {
    UcxPuts puts = UcxPuts::automatic;
};

}  // namespace tenon
