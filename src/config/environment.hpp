// The process's environment variables as a value: read once, passed on, and made up freely in tests.
//
// process_environment is the only place where Tenon reads the environment. As with getenv, no other thread may change
// the environment meanwhile.
#pragma once

#include <functional>
#include <map>
#include <string>

namespace tenon {

using Environment = std::map<std::string, std::string, std::less<>>;

Environment process_environment();

}  // namespace tenon
