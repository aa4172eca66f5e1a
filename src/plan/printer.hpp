// Plans for people and for other tools: text, JSON and a picture. Stateless, thread-safe.
//
// The JSON of a plan, which is also how an algorithm comes as data; a key with a default may be left out, a key that is
// not listed is an error:
//   {"tenon_plan": 1,                      the format's version
//    "collective": "all_reduce", "algorithm": "ring", "rank": 0, "rank_count": 4,
//    "root": 0,                            default 0
//    "pieces": 4,                          per block
//    "scratch_cells": 0,                   default 0
//    "tile_bytes": 0,                      or "one_tile"; default 0, one slot
//    "lanes": [[STEP, ...], ...]}
//   STEP: {"kind": "receive_reduce_copy_send",                   a StepKind's name
//          "source": CHUNK, "destination": CHUNK,                by kind; none: the token of a barrier
//          "operands": [CHUNK, ...],                             reduce and reduce_send
//          "from": 3, "receive_channel": 32,                     32 is the board; default 0
//          "to": 1, "send_channel": 0,                           or to "everyone", on the board; default 0
//          "after": [[LANE, STEP], ...], "completes": true, "source_stable": true, "destination_free": true,
//           "answered": true, "exchanged": true}
//   CHUNK: {"buffer": "scratch",           input, output or scratch
//           "index": 7, "count": 2,        count's default is 1
//           "shape": 3}                    scratch only: the piece whose length the first cell has; default 0
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tenon/plugin/plan.hpp"

namespace tenon {

// One line per step: what it stores, from what, and for whom.
std::string text_of(const Plan& plan);

std::string json_of(const Plan& plan);
std::string json_of(std::span<const Plan> plans);  // an array

// What json_of writes; any other bytes give an invalid_argument error that says where and what. The plan is in bounds;
// that it is right is for the verifier to say, which wants every rank's.
Result<Plan> plan_from_json(std::string_view json);
Result<std::vector<Plan>> plans_from_json(std::string_view json);

// An SVG of every rank's lanes: a row per rank, messages as arrows, time (what must come before what) to the right.
// Refuses plans that do not fit together, and worlds of more than 4,096 steps, which no screen shows.
Result<std::string> svg_of(std::span<const Plan> plans);

}  // namespace tenon
