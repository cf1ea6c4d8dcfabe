# The preset `reliability`: the layer of durable state under sanitizers and valgrind, and the numbers that it is held to, all printed.
# The fuzzers beside it are TacitFuzz.cmake's.

tacit_find_catch2()
file(GLOB sources CONFIGURE_DEPENDS tests/unit/state/*.cpp tests/reliability/*.cpp)
tacit_split_by_need("${sources}" state_sources with_libtorch)

function(tacit_add_state_tests name sources)
  add_executable(state_${name} ${sources})
  target_include_directories(state_${name} PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/tests")
  target_compile_definitions(state_${name} PRIVATE "TACIT_TESTS_DIRECTORY=\"${CMAKE_CURRENT_SOURCE_DIR}/tests\"")
  target_compile_options(state_${name} PRIVATE ${ARGN})
  target_link_options(state_${name} PRIVATE ${ARGN})
  target_link_libraries(state_${name} PRIVATE tacit_core Catch2::Catch2WithMain)
endfunction()

# For valgrind: its version 3.19 cannot read the debug information that clang writes by default, its `operator new` takes the place of the counting
# one of hostile_files.cpp, and its own limit on open files that of real_disks.cpp.
set(plain_sources ${state_sources})
list(FILTER plain_sources EXCLUDE REGEX "/(hostile_files|real_disks).cpp$")
tacit_add_state_tests(plain "${plain_sources}" -gdwarf-4)
tacit_add_state_tests(asan "${state_sources}" -fsanitize=address,undefined -fno-sanitize-recover=undefined)
# Where there are threads.
tacit_with_line("${state_sources}" "include <thread>|async_writer" threaded_sources)
tacit_add_state_tests(tsan "${threaded_sources}" -fsanitize=thread)

add_test(NAME reliability.asan_ubsan COMMAND state_asan)
add_test(NAME reliability.tsan COMMAND state_tsan)
find_program(TACIT_VALGRIND NAMES valgrind NO_CACHE)
if(TACIT_VALGRIND)
  # Half a million flipped bits and 58 000 crash states take an hour there; they run under the sanitizers.
  add_test(NAME reliability.valgrind COMMAND "${TACIT_VALGRIND}" -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite $<TARGET_FILE:state_plain> "~[long]")
else()
  tacit_add_skipped_test(reliability.valgrind "no valgrind (apt: valgrind)" reliability)
endif()
get_property(tests DIRECTORY PROPERTY TESTS)
list(FILTER tests INCLUDE REGEX "^reliability")
set_tests_properties(${tests} PROPERTIES LABELS reliability TIMEOUT 1800 ENVIRONMENT "OMP_NUM_THREADS=1")
