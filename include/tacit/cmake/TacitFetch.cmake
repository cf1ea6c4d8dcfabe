# Fetches what the system does not have. For top-level builds only: a consumer's build never touches the network.
# Each archive is pinned by its hash, so where it comes from does not matter for what is built.

include(FetchContent)

function(tacit_fetch_headers name version apt url sha256 include target)
  message(STATUS "${name}: not found, fetching ${version} (the apt package ${apt} would have served)")
  FetchContent_Declare(${name} URL "${url}" URL_HASH "SHA256=${sha256}" DOWNLOAD_EXTRACT_TIMESTAMP FALSE SOURCE_SUBDIR none)
  FetchContent_MakeAvailable(${name})
  string(TOLOWER "${name}" lower)
  add_library(${target} INTERFACE IMPORTED GLOBAL)
  target_include_directories(${target} SYSTEM INTERFACE "${${lower}_SOURCE_DIR}/${include}")
endfunction()

if(NOT TARGET tacit::boost_headers)
  tacit_fetch_headers(boost 1.81.0 "libboost1.81-dev (or libboost-dev, 1.75 or newer)"
    https://archives.boost.io/release/1.81.0/source/boost_1_81_0.tar.bz2
    71feeed900fbccca04a3b4f2f84a7c217186f28a940ed8b7ed4725986baf99fa . tacit::boost_headers)
  list(FILTER tacit_dependencies_missing EXCLUDE REGEX "^Boost ")
endif()

if(NOT TARGET tacit::nlohmann_json)
  tacit_fetch_headers(json 3.11.3 nlohmann-json3-dev
    https://github.com/nlohmann/json/archive/refs/tags/v3.11.3.tar.gz
    0d8ef5af7f9794e3263480193c491549b2ba6cc74bb018906202ada498a79406 single_include tacit::nlohmann_json)
  list(FILTER tacit_dependencies_missing EXCLUDE REGEX "^nlohmann-json ")
endif()

if(NOT TARGET tacit::range_v3)
  tacit_fetch_headers(range-v3 0.12.0 librange-v3-dev
    https://github.com/ericniebler/range-v3/archive/refs/tags/0.12.0.tar.gz
    015adb2300a98edfceaf0725beec3337f542af4915cec4d0b89fa0886f4ba9cb include tacit::range_v3)
endif()

if(NOT TARGET ZLIB::ZLIB)
  message(STATUS "zlib: not found, fetching 1.3.1 (the apt package zlib1g-dev would have served)")
  FetchContent_Declare(zlib URL https://github.com/madler/zlib/releases/download/v1.3.1/zlib-1.3.1.tar.gz
    URL_HASH SHA256=9a93b2b7dfdac77ceba5a558a580e74667dd6fede4585b91eefb60f03b72df23 DOWNLOAD_EXTRACT_TIMESTAMP FALSE)
  FetchContent_GetProperties(zlib)
  if(NOT zlib_POPULATED)
    enable_language(C)
    FetchContent_MakeAvailable(zlib)
  endif()
  target_include_directories(zlibstatic SYSTEM INTERFACE "${zlib_SOURCE_DIR}" "${zlib_BINARY_DIR}")
  add_library(ZLIB::ZLIB INTERFACE IMPORTED GLOBAL)
  target_link_libraries(ZLIB::ZLIB INTERFACE zlibstatic)
  list(FILTER tacit_dependencies_missing EXCLUDE REGEX "^zlib ")
endif()

# Called by the tests alone: nothing of Catch2 is needed to use Tacit.
macro(tacit_find_catch2)
  find_package(Catch2 3 CONFIG QUIET)
  if(NOT TARGET Catch2::Catch2WithMain)
    message(STATUS "Catch2: not found, fetching 3.7.1 (the apt package catch2, version 3, would have served)")
    FetchContent_Declare(Catch2 URL https://github.com/catchorg/Catch2/archive/refs/tags/v3.7.1.tar.gz
      URL_HASH SHA256=c991b247a1a0d7bb9c39aa35faf0fe9e19764213f28ffba3109388e62ee0269c DOWNLOAD_EXTRACT_TIMESTAMP FALSE)
    FetchContent_MakeAvailable(Catch2)
  endif()
endmacro()
