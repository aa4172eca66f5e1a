# One CMake target per folder: tenon_library(NAME SOURCES ... DEPENDS ...) in src/NAME, transports/NAME or algorithms.
# Includes are written from the root of src, of include or of the project ("base/log.hpp", "tenon/plugin/plan.hpp").
include(GNUInstallDirs)

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1")
set(CMAKE_C_FLAGS_RELEASE "-O2 -g1")
# Of the presets of sanitizers. A report's stack needs lines, which -g1 has; more makes compiling and linking slower.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1 -DNDEBUG")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g1 -DNDEBUG")

find_program(TENON_CCACHE ccache)
if(TENON_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${TENON_CCACHE})
  if(NOT DEFINED ENV{CCACHE_SLOPPINESS})
    # Without, it caches nothing that uses precompiled headers.
    list(PREPEND CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros)
  endif()
  set(CMAKE_C_COMPILER_LAUNCHER ${TENON_CCACHE})
endif()
find_package(Threads REQUIRED)

function(tenon_flags target)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR})
  # No contraction: a fused multiply-add would make sums differ between machines.
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Werror -ffp-contract=off)
  if(TENON_SANITIZE)
    # Not vptr: its runtime is C++'s, which C programs that link the library do not have.
    target_compile_options(${target} PRIVATE -fsanitize=${TENON_SANITIZE} -fno-sanitize=vptr -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(${target} PRIVATE -fsanitize=${TENON_SANITIZE})
  endif()
endfunction()

# How libraries are compiled beyond that, and programs of tests (of TenonPrecompiled.cmake's kinds `libraries` and `tests`).
# A test is compiled in three quarters of the time with -O1; of what it tests, only what headers define is in it.
set(TENON_OPTIONS_OF_libraries)
set(TENON_OPTIONS_OF_tests $<$<CXX_COMPILER_ID:GNU>:-O1>)
if(TENON_FUZZERS)
  # Lets the fuzzers of tests/fuzz see which branches of the library an input reached.
  set(TENON_OPTIONS_OF_libraries -fsanitize=fuzzer-no-link)
endif()
if(TENON_SANITIZE MATCHES address)
  # Optimising what the address sanitizer's checks were put into is over half of the time of compiling a test; without, the
  # tests take about a third longer, which is less.
  set(TENON_OPTIONS_OF_tests -O0)
endif()

function(tenon_library name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SOURCES;DEPENDS")
  add_library(tenon_${name} STATIC ${ARG_SOURCES})
  target_include_directories(tenon_${name} PUBLIC ${PROJECT_SOURCE_DIR}/include)
  tenon_flags(tenon_${name})
  target_compile_options(tenon_${name} PRIVATE ${TENON_OPTIONS_OF_libraries})
  target_link_libraries(tenon_${name} PUBLIC ${ARG_DEPENDS})
  tenon_precompiled(tenon_${name} libraries)
endfunction()

function(tenon_program name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SOURCES;DEPENDS")
  add_executable(${name} ${ARG_SOURCES})
  tenon_flags(${name})
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} Threads::Threads)
  # A program that links nothing of the inside, and so none of the libraries whose headers these are, includes few of them.
  if("${ARG_DEPENDS}" MATCHES "tenon_" AND "${ARG_DEPENDS}" MATCHES GTest)
    target_compile_options(${name} PRIVATE ${TENON_OPTIONS_OF_tests})
    tenon_precompiled(${name} tests)
  elseif("${ARG_DEPENDS}" MATCHES "tenon_")
    tenon_precompiled(${name} programs)
  endif()
endfunction()
