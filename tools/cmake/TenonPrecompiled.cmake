# Compiles the headers that most files include once for all targets rather than once in each file, which halves the time of a
# build. They hold nothing of the project, so that a change of it compiles again what includes it and no more. Files go on
# including what they use, which tools/checks/repository.py holds them to; -D TENON_PRECOMPILE=OFF builds without.
option(TENON_PRECOMPILE "Compile the headers that most files include only once" ON)

set(TENON_COMMON_HEADERS
    <algorithm> <array> <atomic> <bit> <chrono> <cstddef> <cstdint> <cstring> <expected> <functional> <map> <memory> <mutex>
    <optional> <set> <span> <string> <string_view> <thread> <utility> <vector> <fmt/format.h>)
set(TENON_TEST_HEADERS <filesystem> <fstream> <random> <gmock/gmock.h> <gtest/gtest.h>)

# Makes tenon_headers_KIND, whose compiled headers the targets of tenon_precompiled(TARGET KIND) use.
function(tenon_headers kind)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "HEADERS;DEPENDS;OPTIONS")
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/headers.cpp CONTENT "// Headers are compiled beside a source, which this is.\n")
  add_library(tenon_headers_${kind} OBJECT EXCLUDE_FROM_ALL ${PROJECT_BINARY_DIR}/headers.cpp)
  tenon_flags(tenon_headers_${kind})
  target_compile_options(tenon_headers_${kind} PRIVATE ${ARG_OPTIONS} ${TENON_OPTIONS_OF_${kind}})
  target_link_libraries(tenon_headers_${kind} PRIVATE ${ARG_DEPENDS})
  # Clang would refuse the headers of a build folder made anew that ccache hands out.
  target_compile_options(tenon_headers_${kind} PRIVATE $<$<CXX_COMPILER_ID:Clang>:SHELL:-Xclang -fno-pch-timestamp>)
  target_precompile_headers(tenon_headers_${kind} PRIVATE ${ARG_HEADERS})
endfunction()

# TARGET's sources are compiled with the headers of KIND, or without where there are none. Those of a target that is compiled
# in another way than the rest cannot be.
function(tenon_precompiled target kind)
  if(TARGET tenon_headers_${kind})
    target_precompile_headers(${target} REUSE_FROM tenon_headers_${kind})
  endif()
endfunction()

if(TENON_PRECOMPILE)
  find_package(fmt REQUIRED)
  find_package(spdlog REQUIRED)
  set(base fmt::fmt spdlog::spdlog)
  tenon_headers(libraries HEADERS ${TENON_COMMON_HEADERS} DEPENDS ${base})
  tenon_headers(programs HEADERS ${TENON_COMMON_HEADERS} DEPENDS ${base} OPTIONS ${CMAKE_CXX_COMPILE_OPTIONS_PIE})
  set_target_properties(tenon_headers_programs PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  if(TENON_TESTS)
    find_package(GTest REQUIRED)
    tenon_headers(tests HEADERS ${TENON_COMMON_HEADERS} ${TENON_TEST_HEADERS} DEPENDS ${base} GTest::gmock
                  OPTIONS ${CMAKE_CXX_COMPILE_OPTIONS_PIE})
    set_target_properties(tenon_headers_tests PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  endif()
endif()
