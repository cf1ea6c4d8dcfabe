# What tests, examples and benchmarks share.

find_program(TACIT_TEST_PYTHON NAMES python3)
if(NOT TACIT_TEST_PYTHON)
  message(FATAL_ERROR "The tests need python3 (apt: python3), standard library only.")
endif()
# The interpreter itself, for hundreds of tests start it and a wrapper such as pyenv's starts a shell first. -S skips the
# search for installed packages.
execute_process(COMMAND "${TACIT_TEST_PYTHON}" -S -c "import sys; print(sys.executable)" OUTPUT_VARIABLE TACIT_SCRIPT_PYTHON
                OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
list(APPEND TACIT_SCRIPT_PYTHON -S)

# Both compilers judge the library in one run, whichever of them builds it.
function(tacit_other_compiler out names id oldest)
  set(${out} "" PARENT_SCOPE)
  if(CMAKE_CXX_COMPILER_ID STREQUAL id)
    set(${out} "${CMAKE_CXX_COMPILER}" PARENT_SCOPE)
    return()
  endif()
  foreach(name IN LISTS names)
    find_program(candidate NAMES ${name} NO_CACHE)
    if(candidate)
      execute_process(COMMAND "${candidate}" -dumpversion OUTPUT_VARIABLE version OUTPUT_STRIP_TRAILING_WHITESPACE)
      if(version VERSION_GREATER_EQUAL oldest)
        set(${out} "${candidate}" PARENT_SCOPE)
        return()
      endif()
    endif()
    unset(candidate)
  endforeach()
endfunction()

tacit_other_compiler(TACIT_GCC "g++;g++-15;g++-14;g++-13;g++-12" GNU 12)
tacit_other_compiler(TACIT_CLANG "clang++-19;clang++-20;clang++-21;clang++" Clang 19)
foreach(compiler IN ITEMS GCC CLANG)
  if(NOT TACIT_${compiler})
    message(STATUS "Tests with ${compiler} are skipped: g++ 12 or clang 19 (apt: clang-19), or newer, was not found")
  endif()
endforeach()

# Says whether a source has the line `// needs: <what>`. The file is watched, for the answer decides how it is built.
function(tacit_needs file what out)
  file(STRINGS "${file}" lines REGEX "^// needs: *${what}" LIMIT_COUNT 1)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
  if(lines)
    set(${out} TRUE PARENT_SCOPE)
  else()
    set(${out} FALSE PARENT_SCOPE)
  endif()
endfunction()

function(tacit_split_by_need files out_core out_torch)
  set(core "")
  set(torch "")
  foreach(file IN LISTS files)
    tacit_needs("${file}" libtorch needed)
    if(needed)
      list(APPEND torch "${file}")
    else()
      list(APPEND core "${file}")
    endif()
  endforeach()
  set(${out_core} "${core}" PARENT_SCOPE)
  set(${out_torch} "${torch}" PARENT_SCOPE)
endfunction()

# The files with a line that the expression matches. Each is watched, for its lines decide how it is built.
function(tacit_with_line files regex out)
  set(found "")
  foreach(file IN LISTS files)
    file(STRINGS "${file}" lines REGEX "${regex}" LIMIT_COUNT 1)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
    if(lines)
      list(APPEND found "${file}")
    endif()
  endforeach()
  set(${out} "${found}" PARENT_SCOPE)
endfunction()

# Reads `// <key>: text` lines from a source into a list.
function(tacit_comment file key out)
  file(STRINGS "${file}" lines REGEX "^// ${key}: ")
  list(TRANSFORM lines REPLACE "^// ${key}: *" "")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
  set(${out} "${lines}" PARENT_SCOPE)
endfunction()

if(NOT TACIT_CORE_ONLY)
  # Programs of this build link this; with TACIT_CUDA they carry the CUDA kernels too.
  add_library(tacit_program INTERFACE)
  target_link_libraries(tacit_program INTERFACE tacit_ddp)
  if(TACIT_CUDA)
    target_link_libraries(tacit_program INTERFACE tacit::libtorch_cuda)
  endif()

  # One precompiled header for all: the file has 700 MB on g++.
  if(TACIT_PCH)
    file(CONFIGURE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/torch_pch.cpp" CONTENT "")
    add_library(tacit_torch_pch OBJECT EXCLUDE_FROM_ALL "${CMAKE_CURRENT_BINARY_DIR}/torch_pch.cpp")
    target_link_libraries(tacit_torch_pch PRIVATE tacit_program)
    target_precompile_headers(tacit_torch_pch PRIVATE <torch/torch.h>)
  endif()
endif()

function(tacit_use_torch target)
  target_link_libraries(${target} PRIVATE tacit_program)
  if(TACIT_PCH)
    target_precompile_headers(${target} REUSE_FROM tacit_torch_pch)
  endif()
endfunction()

# Include directories for compilers that CMake does not drive. A system directory named again by -isystem would hide the
# C headers that libstdc++ includes next, and -isystem on our own headers would hide their warnings.
string(REGEX REPLACE "([][+.*()^$?|\\])" "\\\\\\1" own_include "${CMAKE_CURRENT_SOURCE_DIR}/include")
set(TACIT_CORE_INCLUDES "$<TARGET_PROPERTY:tacit_core,INTERFACE_INCLUDE_DIRECTORIES>")
foreach(directory IN ITEMS "${own_include}" "/usr/include/?")
  set(TACIT_CORE_INCLUDES "$<FILTER:${TACIT_CORE_INCLUDES},EXCLUDE,^${directory}$>")
endforeach()
set(TACIT_CORE_INCLUDES "$<REMOVE_DUPLICATES:${TACIT_CORE_INCLUDES}>")
set(torch_includes "")
if(NOT TACIT_CORE_ONLY)
  set(torch_includes "$<TARGET_PROPERTY:tacit::libtorch,INTERFACE_INCLUDE_DIRECTORIES>")
  if(TACIT_GLOO_HEADERS STREQUAL "stand-ins")
    list(APPEND torch_includes "${CMAKE_CURRENT_SOURCE_DIR}/include/tacit/policy/distribution/gloo_stubs")
  endif()
endif()
set(catch2_libraries "")
if(TACIT_TESTS)
  tacit_find_catch2()
  set(catch2_libraries "$<TARGET_FILE:Catch2::Catch2WithMain>;$<TARGET_FILE:Catch2::Catch2>")
endif()
set(TACIT_CORE_LIBRARIES -pthread -lz)
if(ZLIB_LIBRARIES)
  set(TACIT_CORE_LIBRARIES -pthread ${ZLIB_LIBRARIES})
endif()

# clang's precompiled <torch/torch.h>, and on top of it tacit.hpp. FindLibTorch.cmake says why -fclang-abi-compat=17.
set(tacit_quick_flags -std=c++20 -O0 -Wall -Wextra -fclang-abi-compat=17 "-I${CMAKE_CURRENT_SOURCE_DIR}/include")
set(tacit_quick_prefix "${CMAKE_CURRENT_BINARY_DIR}/clang/tacit.pch")
set(tacit_quick OFF)
if(TACIT_TOGETHER AND TACIT_PCH AND TACIT_CLANG AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND NOT TACIT_CORE_ONLY)
  set(tacit_quick ON)
  set(directory "${CMAKE_CURRENT_BINARY_DIR}/clang")
  file(CONFIGURE OUTPUT "${directory}/torch.hpp" CONTENT "#include <torch/torch.h>\n")
  file(CONFIGURE OUTPUT "${directory}/tacit.hpp" CONTENT "#include <tacit/tacit.hpp>\n")
  set(command "${TACIT_CLANG}" ${tacit_quick_flags} "-isystem$<JOIN:${torch_includes},$<SEMICOLON>-isystem>"
              -fpch-instantiate-templates -x c++-header)
  add_custom_command(OUTPUT "${directory}/torch.pch" COMMAND ${command} "${directory}/torch.hpp" -o "${directory}/torch.pch"
    COMMENT "Building torch.hpp with clang" COMMAND_EXPAND_LISTS VERBATIM)
  add_custom_command(OUTPUT "${tacit_quick_prefix}"
    COMMAND ${command} -include-pch "${directory}/torch.pch" -MD -MF "${tacit_quick_prefix}.d" "${directory}/tacit.hpp"
            -o "${tacit_quick_prefix}"
    DEPENDS "${directory}/torch.pch" DEPFILE "${tacit_quick_prefix}.d" COMMENT "Building tacit.hpp with clang"
    COMMAND_EXPAND_LISTS VERBATIM)
  add_custom_target(tacit_quick_prefixes ALL DEPENDS "${tacit_quick_prefix}")
endif()

# The objects of a target's sources, by clang where the preset wants a quick run: g++ needs twice as long on what sees
# LibTorch. Elsewhere they are the sources.
function(tacit_quick_objects target sources out)
  if(NOT tacit_quick)
    set(${out} "${sources}" PARENT_SCOPE)
    return()
  endif()
  set(objects "")
  set(includes "$<REMOVE_DUPLICATES:$<TARGET_PROPERTY:${target},INCLUDE_DIRECTORIES>>")
  set(includes "$<FILTER:${includes},EXCLUDE,^(${own_include}|/usr/include/?)$>")
  set(macros "$<TARGET_PROPERTY:${target},COMPILE_DEFINITIONS>")
  foreach(source IN LISTS sources)
    get_filename_component(name "${source}" NAME)
    set(object "${CMAKE_CURRENT_BINARY_DIR}/clang/${target}/${name}.o")
    add_custom_command(OUTPUT "${object}"
      COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} "${TACIT_CLANG}" ${tacit_quick_flags} -include-pch "${tacit_quick_prefix}"
              "$<$<BOOL:${includes}>:-isystem$<JOIN:${includes},$<SEMICOLON>-isystem>>"
              "$<$<BOOL:${macros}>:-D$<JOIN:${macros},$<SEMICOLON>-D>>" -MD -MF "${object}.d" -c "${source}" -o "${object}"
      DEPENDS "${source}" "${tacit_quick_prefix}" DEPFILE "${object}.d" COMMENT "Building ${name} with clang"
      COMMAND_EXPAND_LISTS VERBATIM)
    list(APPEND objects "${object}")
  endforeach()
  set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX)
  set(${out} "${objects}" PARENT_SCOPE)
endfunction()

# What the scripts need to know; they take no other configuration.
set(TACIT_TOOLCHAIN "${CMAKE_CURRENT_BINARY_DIR}/toolchain.json")
set(between "\"$<COMMA> \"")
file(GENERATE OUTPUT "${TACIT_TOOLCHAIN}" CONTENT "{
  \"source\": \"${CMAKE_CURRENT_SOURCE_DIR}\",
  \"binary\": \"${CMAKE_CURRENT_BINARY_DIR}\",
  \"gcc\": \"${TACIT_GCC}\",
  \"clang\": \"${TACIT_CLANG}\",
  \"core_includes\": [\"$<JOIN:${TACIT_CORE_INCLUDES},${between}>\"],
  \"core_libraries\": [\"$<JOIN:${TACIT_CORE_LIBRARIES},${between}>\"],
  \"torch_includes\": [\"$<JOIN:${torch_includes},${between}>\"],
  \"torch_root\": \"${LibTorch_ROOT_DIRECTORY}\",
  \"catch2_libraries\": [\"$<JOIN:${catch2_libraries},${between}>\"],
  \"cmake\": \"${CMAKE_COMMAND}\",
  \"generator\": \"${CMAKE_GENERATOR}\"
}
")

# A test that cannot run here is listed as skipped, with the reason in its output.
function(tacit_add_skipped_test name reason label)
  add_test(NAME "${name}" COMMAND "${CMAKE_COMMAND}" -E echo "SKIPPED: ${reason}")
  set_tests_properties("${name}" PROPERTIES SKIP_REGULAR_EXPRESSION "SKIPPED" LABELS "${label}")
endfunction()

# Scripts take the whole output of a compiler as their subject, so they see the same text on every machine.
set(TACIT_SCRIPT_ENVIRONMENT "LC_ALL=C;PYTHONDONTWRITEBYTECODE=1;PYTHONPATH=${CMAKE_CURRENT_SOURCE_DIR}/tests/cmake")
function(tacit_add_script_test name script)
  cmake_parse_arguments(PARSE_ARGV 2 arg "SERIAL" "TIMEOUT" "LABELS;ARGUMENTS")
  add_test(NAME "${name}" COMMAND ${TACIT_SCRIPT_PYTHON} "${CMAKE_CURRENT_SOURCE_DIR}/${script}" "${TACIT_TOOLCHAIN}"
           ${arg_ARGUMENTS})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  set_tests_properties("${name}" PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT} SKIP_RETURN_CODE 77
    ENVIRONMENT "${TACIT_SCRIPT_ENVIRONMENT}" RUN_SERIAL ${arg_SERIAL})
endfunction()
