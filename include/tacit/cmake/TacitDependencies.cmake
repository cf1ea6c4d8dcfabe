# What Tacit's headers need beside LibTorch; used by the build and by the installed package alike.
#
# Gives the targets `tacit::boost_headers` (Hana and PFR), `tacit::nlohmann_json`, `tacit::range_v3` if found, and ZLIB::ZLIB, Threads::Threads.
# `tacit_dependencies_missing` in the caller names what was not found, each with its apt package.

set(tacit_dependencies_missing "")
set(TACIT_BOOST_OLDEST 107500)

if(NOT TARGET tacit::boost_headers)
  # Not find_package(Boost): Debian's Hana and PFR may lie beside the headers of an older default Boost that has no PFR,
  # and the module that finds Boost is removed from newer CMake.
  if(TARGET Boost::headers)
    add_library(tacit::boost_headers INTERFACE IMPORTED GLOBAL)
    target_link_libraries(tacit::boost_headers INTERFACE Boost::headers)
  else()
    find_path(_tacit_boost NAMES boost/pfr.hpp HINTS ${TACIT_BOOST} ${Boost_ROOT} ${BOOST_ROOT} ENV Boost_ROOT ENV BOOST_ROOT
              PATH_SUFFIXES include NO_CACHE)
    set(_tacit_boost_version 0)
    if(_tacit_boost AND EXISTS "${_tacit_boost}/boost/version.hpp" AND EXISTS "${_tacit_boost}/boost/hana.hpp")
      file(STRINGS "${_tacit_boost}/boost/version.hpp" _tacit_line REGEX "^#define BOOST_VERSION [0-9]+")
      string(REGEX MATCH "[0-9]+" _tacit_boost_version "${_tacit_line}")
    endif()
    if(_tacit_boost_version GREATER_EQUAL TACIT_BOOST_OLDEST)
      add_library(tacit::boost_headers INTERFACE IMPORTED GLOBAL)
      target_include_directories(tacit::boost_headers SYSTEM INTERFACE "${_tacit_boost}")
    else()
      list(APPEND tacit_dependencies_missing
           "Boost 1.75 or newer, the headers of Hana and PFR (apt: libboost1.81-dev on Debian 12, libboost-dev elsewhere; or -DTACIT_BOOST=<directory>)")
    endif()
    unset(_tacit_boost)
    unset(_tacit_boost_version)
    unset(_tacit_line)
  endif()
endif()

if(NOT TARGET ZLIB::ZLIB)
  find_package(ZLIB QUIET)
  if(NOT ZLIB_FOUND)
    list(APPEND tacit_dependencies_missing "zlib (apt: zlib1g-dev; or -DZLIB_ROOT=<directory>)")
  endif()
endif()

if(NOT TARGET tacit::nlohmann_json)
  # Not find_package(nlohmann_json) first: headers without its CMake files serve as well.
  if(TARGET nlohmann_json::nlohmann_json)
    add_library(tacit::nlohmann_json INTERFACE IMPORTED GLOBAL)
    target_link_libraries(tacit::nlohmann_json INTERFACE nlohmann_json::nlohmann_json)
  else()
    find_path(_tacit_json NAMES nlohmann/json.hpp HINTS ${TACIT_NLOHMANN_JSON} ${nlohmann_json_ROOT} ENV nlohmann_json_ROOT
              PATH_SUFFIXES include NO_CACHE)
    if(_tacit_json)
      add_library(tacit::nlohmann_json INTERFACE IMPORTED GLOBAL)
      target_include_directories(tacit::nlohmann_json SYSTEM INTERFACE "${_tacit_json}")
    else()
      list(APPEND tacit_dependencies_missing
           "nlohmann-json 3.11 or newer (apt: nlohmann-json3-dev; or -DTACIT_NLOHMANN_JSON=<directory>)")
    endif()
    unset(_tacit_json)
  endif()
endif()

if(NOT TARGET Threads::Threads)
  find_package(Threads QUIET)
endif()

if(NOT TARGET tacit::range_v3)
  if(NOT TARGET range-v3::range-v3)
    find_package(range-v3 CONFIG QUIET)
  endif()
  if(TARGET range-v3::range-v3)
    add_library(tacit::range_v3 INTERFACE IMPORTED GLOBAL)
    target_link_libraries(tacit::range_v3 INTERFACE range-v3::range-v3)
  endif()
endif()
