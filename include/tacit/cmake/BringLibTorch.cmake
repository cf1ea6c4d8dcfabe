# Brings the pinned LibTorch package once into a per-user cache that all build trees share.
#
# FindLibTorch.cmake calls it: `tacit_libtorch_cache` answers where a complete cache is, `tacit_bring_libtorch` makes one.
# Only a top-level build of Tacit may make one; the network is never touched on behalf of a consumer.

set(TACIT_LIBTORCH_VERSION 2.11.0)

# name==version, then the SHA256 of its x86_64 wheel. The package index is whatever pip is configured to use, so the
# hashes, not the place they came from, decide what is trusted.
set(TACIT_LIBTORCH_WHEELS
    torch==2.11.0                   0f68f4ac6d95d12e896c3b7a912b5871619542ec54d3649cf48cc1edd4dd2756
    nvidia-cuda-runtime==13.0.96    7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548
    nvidia-cuda-cupti==13.0.85      4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8)

set(TACIT_LIBTORCH_CUDA_WHEELS
    nvidia-cublas==13.1.0.3         ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171
    nvidia-cuda-nvrtc==13.0.88      ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575
    nvidia-cufft==12.0.0.61         6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3
    nvidia-cufile==1.15.1.6         08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44
    nvidia-curand==10.4.0.35        1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc
    nvidia-cusolver==12.0.4.66      0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112
    nvidia-cusparse==12.6.3.3       2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b
    nvidia-nvjitlink==13.0.88       13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b
    nvidia-nvtx==13.0.85            4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4
    nvidia-cudnn-cu13==9.19.0.56    d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf
    nvidia-cusparselt-cu13==0.8.0   25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd
    nvidia-nccl-cu13==2.28.9        e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42
    nvidia-nvshmem-cu13==3.4.5      290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80)

# pip does not take a newer manylinux tag to imply the older ones, so each tag in use is named.
set(TACIT_LIBTORCH_PIP_ARGUMENTS
    download --no-deps --no-cache-dir --only-binary=:all: --implementation cp --python-version 3.12
    --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_25_x86_64
    --platform manylinux_2_18_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64
    --platform manylinux_2_12_x86_64 --platform manylinux2010_x86_64 --platform manylinux_2_5_x86_64
    --platform manylinux1_x86_64)

# The interpreters worth asking: the one that the user named, or else an active environment's, then those on PATH.
# /usr/bin is asked last on purpose: version managers put a Python without pip in front of the system's, and vice versa.
function(tacit_pythons out)
  if(TACIT_PYTHON)
    set(${out} "${TACIT_PYTHON}" PARENT_SCOPE)
    return()
  endif()
  set(found "")
  foreach(environment IN ITEMS "$ENV{VIRTUAL_ENV}" "$ENV{CONDA_PREFIX}")
    if(environment AND EXISTS "${environment}/bin/python")
      list(APPEND found "${environment}/bin/python")
    endif()
  endforeach()
  find_program(on_path NAMES python3 python NO_CACHE)
  find_program(of_system NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH NO_CACHE)
  foreach(candidate IN ITEMS "${on_path}" "${of_system}")
    if(candidate)
      list(APPEND found "${candidate}")
    endif()
  endforeach()
  list(REMOVE_DUPLICATES found)
  set(${out} "${found}" PARENT_SCOPE)
endfunction()

function(tacit_libtorch_cache_directory out)
  if(NOT "$ENV{XDG_CACHE_HOME}" STREQUAL "")
    set(${out} "$ENV{XDG_CACHE_HOME}/tacit" PARENT_SCOPE)
  elseif(NOT "$ENV{HOME}" STREQUAL "")
    set(${out} "$ENV{HOME}/.cache/tacit" PARENT_SCOPE)
  else()
    set(${out} "" PARENT_SCOPE)
  endif()
endfunction()

function(tacit_libtorch_cache_name cuda out)
  if(cuda)
    set(${out} "libtorch-${TACIT_LIBTORCH_VERSION}-cuda" PARENT_SCOPE)
  else()
    set(${out} "libtorch-${TACIT_LIBTORCH_VERSION}" PARENT_SCOPE)
  endif()
endfunction()

# The manifest is written last and lists every library with its size, so a cache cut short at any point, or with a
# library truncated later by a full disk, is told from a whole one without reading a gigabyte.
function(tacit_libtorch_cache_is_whole root cuda out)
  set(${out} FALSE PARENT_SCOPE)
  if(NOT EXISTS "${root}/manifest.txt")
    return()
  endif()
  file(STRINGS "${root}/manifest.txt" lines)
  tacit_libtorch_manifest_head(${cuda} head)
  list(POP_FRONT lines first)
  list(POP_BACK lines last)
  if(NOT first STREQUAL head OR NOT last STREQUAL "end" OR NOT lines)
    return()
  endif()
  foreach(line IN LISTS lines)
    if(NOT line MATCHES "^([0-9]+) (.+)$")
      return()
    endif()
    set(size "${CMAKE_MATCH_1}")
    set(path "${root}/${CMAKE_MATCH_2}")
    if(NOT EXISTS "${path}")
      return()
    endif()
    file(SIZE "${path}" actual)
    if(NOT actual EQUAL size)
      return()
    endif()
  endforeach()
  set(${out} TRUE PARENT_SCOPE)
endfunction()

# Other pins are another cache: the head changes with them.
function(tacit_libtorch_manifest_head cuda out)
  set(pins ${TACIT_LIBTORCH_WHEELS})
  if(cuda)
    list(APPEND pins ${TACIT_LIBTORCH_CUDA_WHEELS})
  endif()
  string(SHA256 digest "${pins}")
  set(${out} "tacit-libtorch 1 ${digest}" PARENT_SCOPE)
endfunction()

function(tacit_libtorch_write_manifest root cuda)
  file(GLOB_RECURSE files RELATIVE "${root}" "${root}/torch/lib/*" "${root}/nvidia/*/lib/*")
  list(APPEND files torch/include/ATen/ATen.h torch/include/torch/csrc/api/include/torch/torch.h)
  tacit_libtorch_manifest_head(${cuda} head)
  set(text "${head}\n")
  foreach(path IN LISTS files)
    file(SIZE "${root}/${path}" size)
    string(APPEND text "${size} ${path}\n")
  endforeach()
  file(WRITE "${root}/manifest.txt" "${text}end\n")
endfunction()

# Sets `out` to the torch folder of a whole cache, or to nothing.
function(tacit_libtorch_cache cuda out)
  set(${out} "" PARENT_SCOPE)
  tacit_libtorch_cache_directory(cache)
  if(NOT cache)
    return()
  endif()
  tacit_libtorch_cache_name(${cuda} name)
  tacit_libtorch_cache_is_whole("${cache}/${name}" ${cuda} whole)
  if(whole)
    set(${out} "${cache}/${name}/torch" PARENT_SCOPE)
  endif()
endfunction()

# Finds the wheel of a pin in a folder by its hash; a partial or foreign file of the same name does not count.
function(tacit_libtorch_wheel folder requirement sha256 out)
  string(REGEX REPLACE "==.*" "" name "${requirement}")
  string(REGEX REPLACE ".*==" "" version "${requirement}")
  string(REPLACE "-" "_" name "${name}")
  file(GLOB candidates "${folder}/${name}-${version}-*.whl")
  set(${out} "" PARENT_SCOPE)
  foreach(candidate IN LISTS candidates)
    file(SHA256 "${candidate}" actual)
    if(actual STREQUAL sha256)
      set(${out} "${candidate}" PARENT_SCOPE)
      return()
    endif()
    message(STATUS "LibTorch: ${candidate} is damaged or not the pinned file, it is removed")
    file(REMOVE "${candidate}")
  endforeach()
endfunction()

# Downloads what of `pins` is not in `folder` yet. Sets `error` in the caller; empty on success.
function(tacit_libtorch_download folder pins out_error)
  set(${out_error} "" PARENT_SCOPE)
  set(missing "")
  set(list "${pins}")
  while(list)
    list(POP_FRONT list requirement sha256)
    tacit_libtorch_wheel("${folder}" "${requirement}" "${sha256}" wheel)
    if(NOT wheel)
      list(APPEND missing "${requirement}")
    endif()
  endwhile()
  if(NOT missing)
    return()
  endif()

  tacit_pythons(pythons)
  set(tried "")
  set(done FALSE)
  foreach(python IN LISTS pythons)
    execute_process(COMMAND "${python}" -m pip --version RESULT_VARIABLE result OUTPUT_QUIET ERROR_QUIET)
    if(NOT result EQUAL 0)
      string(APPEND tried "\n    ${python}: has no pip")
      continue()
    endif()
    string(REPLACE ";" " " text "${missing}")
    message(STATUS "LibTorch: downloading ${text} with ${python} -m pip (once per user; 0.5 GB, for CUDA 2 GB more)")
    execute_process(COMMAND "${python}" -m pip ${TACIT_LIBTORCH_PIP_ARGUMENTS} -d "${folder}" ${missing}
                    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
    if(result EQUAL 0)
      set(done TRUE)
      break()
    endif()
    string(STRIP "${output}" output)
    string(REGEX REPLACE "\n" "\n      " output "${output}")
    string(APPEND tried "\n    ${python} -m pip download failed:\n      ${output}")
  endforeach()
  if(NOT done)
    if(NOT tried)
      set(tried "\n    no python3 on PATH")
    endif()
    set(${out_error} "pip could not bring the pinned package:${tried}" PARENT_SCOPE)
    return()
  endif()

  set(list "${pins}")
  while(list)
    list(POP_FRONT list requirement sha256)
    tacit_libtorch_wheel("${folder}" "${requirement}" "${sha256}" wheel)
    if(NOT wheel)
      set(${out_error} "what pip brought for ${requirement} does not have the pinned SHA256 ${sha256}" PARENT_SCOPE)
      return()
    endif()
  endwhile()
endfunction()

# Makes the cache. Sets `out` to its torch folder; on failure to nothing and `out_error` to the reason.
function(tacit_bring_libtorch cuda out out_error)
  set(${out} "" PARENT_SCOPE)
  set(${out_error} "" PARENT_SCOPE)

  if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux" OR NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    set(${out_error} "a package is pinned for Linux on x86_64 only, this is ${CMAKE_SYSTEM_NAME} on ${CMAKE_SYSTEM_PROCESSOR}"
        PARENT_SCOPE)
    return()
  endif()
  tacit_libtorch_cache_directory(cache)
  if(NOT cache)
    set(${out_error} "neither XDG_CACHE_HOME nor HOME is set, so there is no place for the cache" PARENT_SCOPE)
    return()
  endif()
  tacit_libtorch_cache_name(${cuda} name)
  set(root "${cache}/${name}")
  set(fresh "${root}.new")
  set(stale "${root}.old")
  set(downloads "${cache}/downloads-${TACIT_LIBTORCH_VERSION}")

  execute_process(COMMAND "${CMAKE_COMMAND}" -E make_directory "${cache}" RESULT_VARIABLE result ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    set(${out_error} "${cache} cannot be made (${output}); set XDG_CACHE_HOME to a place that can be written" PARENT_SCOPE)
    return()
  endif()

  # One lock for both kinds of cache, for they share downloads and files. The kernel frees it when a configure dies.
  set(lock "${cache}/libtorch.lock")
  file(LOCK "${lock}" GUARD FUNCTION TIMEOUT 0 RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(STATUS "LibTorch: another configure is filling ${cache}, waiting for it")
    file(LOCK "${lock}" GUARD FUNCTION TIMEOUT 3600 RESULT_VARIABLE result)
    if(NOT result EQUAL 0)
      set(${out_error} "${lock} could not be locked (${result}); XDG_CACHE_HOME names another place for the cache"
          PARENT_SCOPE)
      return()
    endif()
  endif()
  tacit_libtorch_cache_is_whole("${root}" ${cuda} whole)
  if(whole)
    set(${out} "${root}/torch" PARENT_SCOPE)
    return()
  endif()
  if(EXISTS "${root}")
    message(STATUS "LibTorch: ${root} is not whole, it is made again")
  endif()

  # What an interrupted configure left behind is of no use, except for whole wheels.
  file(REMOVE_RECURSE "${fresh}" "${stale}")
  file(MAKE_DIRECTORY "${fresh}" "${downloads}")

  set(pins ${TACIT_LIBTORCH_WHEELS})
  if(cuda)
    tacit_libtorch_cache(FALSE plain)
    if(plain)
      # Hard links: the CUDA cache costs only what the nvidia packages add.
      execute_process(COMMAND cp -al "${plain}" "${plain}/../nvidia" "${fresh}/" RESULT_VARIABLE result ERROR_QUIET)
      if(result EQUAL 0)
        set(pins "")
      else()
        file(REMOVE_RECURSE "${fresh}")
        file(MAKE_DIRECTORY "${fresh}")
      endif()
    endif()
    list(APPEND pins ${TACIT_LIBTORCH_CUDA_WHEELS})
  endif()

  tacit_libtorch_download("${downloads}" "${pins}" error)
  if(error)
    file(REMOVE_RECURSE "${fresh}")
    set(${out_error} "${error}" PARENT_SCOPE)
    return()
  endif()

  set(list "${pins}")
  while(list)
    list(POP_FRONT list requirement sha256)
    string(REGEX REPLACE "==.*" "" package "${requirement}")
    string(REGEX REPLACE ".*==" "" version "${requirement}")
    string(REPLACE "-" "_" package "${package}")
    file(GLOB wheel "${downloads}/${package}-${version}-*.whl")
    if(package STREQUAL "torch")
      set(members torch/lib torch/include)
    else()
      set(members nvidia)
    endif()
    message(STATUS "LibTorch: unpacking ${requirement}")
    execute_process(COMMAND "${CMAKE_COMMAND}" -E tar xf "${wheel}" ${members} WORKING_DIRECTORY "${fresh}"
                    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
    if(NOT result EQUAL 0)
      file(REMOVE_RECURSE "${fresh}")
      set(${out_error} "${wheel} could not be unpacked into ${cache}, which needs 1.7 GB free (CUDA: 6 GB):\n    ${output}"
          PARENT_SCOPE)
      return()
    endif()
  endwhile()
  file(REMOVE "${fresh}/torch/lib/libtorch_python.so")
  tacit_libtorch_write_manifest("${fresh}" ${cuda})

  if(EXISTS "${root}")
    file(RENAME "${root}" "${stale}")
  endif()
  file(RENAME "${fresh}" "${root}")
  file(REMOVE_RECURSE "${stale}" "${downloads}")
  message(STATUS "LibTorch: ${TACIT_LIBTORCH_VERSION} is in ${root}")
  set(${out} "${root}/torch" PARENT_SCOPE)
endfunction()
