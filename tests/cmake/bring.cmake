# Calls the finder's functions on stand-ins: `cmake -DMODULES=<dir> -DPINS=<list> -DTACIT_PYTHON=<program> -P bring.cmake`.
# The stand-in for pip and the pins are small, everything else is what a real configure runs.

cmake_minimum_required(VERSION 3.22)
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
include("${MODULES}/BringLibTorch.cmake")

function(tacit_pythons out)
  set(${out} ${TACIT_PYTHON} PARENT_SCOPE)
endfunction()
set(TACIT_LIBTORCH_WHEELS ${PINS})
set(TACIT_LIBTORCH_CUDA_WHEELS ${CUDA_PINS})
if(NOT CUDA)
  set(CUDA FALSE)
endif()

tacit_bring_libtorch(${CUDA} root error)
if(error)
  message(FATAL_ERROR "${error}")
endif()
message(STATUS "root: ${root}")
