# tests/reliability/fuzz/<name>.cpp is a libFuzzer program; an archive <name>.tar.gz beside it holds inputs to start from.
# A new one is written by `tar --sort=name --mtime=@0 --owner=0 --group=0 -czf <name>.tar.gz -C <folder> .`.

if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  message(FATAL_ERROR "Fuzzers need clang (apt: clang-19 libclang-rt-19-dev), this is ${CMAKE_CXX_COMPILER_ID}.")
endif()

set(TACIT_FUZZ_RUNS 200000 CACHE STRING "Inputs that each fuzzer tries")

set(fuzzers "${CMAKE_CURRENT_SOURCE_DIR}/tests/reliability/fuzz")
file(GLOB files CONFIGURE_DEPENDS "${fuzzers}/*.cpp")
set(sanitizers -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined)
foreach(file IN LISTS files)
  get_filename_component(name "${file}" NAME_WE)
  add_executable(fuzz_${name} "${file}")
  target_include_directories(fuzz_${name} PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/tests")
  target_compile_options(fuzz_${name} PRIVATE ${sanitizers})
  target_link_options(fuzz_${name} PRIVATE ${sanitizers})
  target_link_libraries(fuzz_${name} PRIVATE tacit_core)

  # libFuzzer writes what it finds to the first folder; the other is only read.
  set(found "${CMAKE_CURRENT_BINARY_DIR}/fuzz/${name}")
  file(MAKE_DIRECTORY "${found}")
  set(inputs "${found}")
  if(EXISTS "${fuzzers}/${name}.tar.gz")
    set(seeds "${CMAKE_CURRENT_BINARY_DIR}/fuzz/seeds/${name}")
    file(ARCHIVE_EXTRACT INPUT "${fuzzers}/${name}.tar.gz" DESTINATION "${seeds}")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${fuzzers}/${name}.tar.gz")
    list(APPEND inputs "${seeds}")
  endif()
  add_test(NAME fuzz.${name} COMMAND fuzz_${name} -runs=${TACIT_FUZZ_RUNS} -seed=1 -max_len=4096 -timeout=60 -verbosity=0 -print_funcs=0 ${inputs} WORKING_DIRECTORY "${found}")
  set_tests_properties(fuzz.${name} PROPERTIES LABELS fuzz TIMEOUT 5400)
endforeach()
