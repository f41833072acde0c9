# mlit_cuda.so, the CUDA backend beside the addon, and its doubles for tests. Included by the top CMakeLists.txt, which has the options.

# Ours, with the nvcc that first knew each; the last also as PTX, for cards to come.
set(cuda_all_archs 80 86 89 90a 100 120)

set(cuda_wanted ${MLIT_CUDA})
if(cuda_wanted STREQUAL "AUTO")
  set(cuda_wanted OFF)
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    find_program(MLIT_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
    if(MLIT_NVCC)
      set(CMAKE_CUDA_COMPILER ${MLIT_NVCC})
    endif()
  endif()
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --version OUTPUT_VARIABLE nvcc_says ERROR_QUIET)
    if(nvcc_says MATCHES "release ([0-9]+\\.[0-9]+)" AND CMAKE_MATCH_1 VERSION_GREATER_EQUAL 12.8)
      set(cuda_wanted ON)
    else()
      message(STATUS "The CUDA plug-in is left out: ${CMAKE_CUDA_COMPILER} is older than 12.8")
    endif()
  else()
    message(STATUS "The CUDA plug-in is left out: there is no nvcc (`npm run cuda:toolkit` fetches one)")
  endif()
endif()

if(cuda_wanted)
  set(CMAKE_CUDA_ARCHITECTURES OFF)  # -gencode is ours
  set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake before 3.26 does not know nvcc's
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  endif()
  if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.8)
    message(FATAL_ERROR "${CMAKE_CUDA_COMPILER} is nvcc ${CMAKE_CUDA_COMPILER_VERSION}; 12.8 or later is needed. "
                        "`npm run cuda:toolkit -- --wheels` fetches one.")
  endif()
  set(cuda_archs "${MLIT_CUDA_ARCHS}")
  if(NOT cuda_archs)
    execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-arch OUTPUT_VARIABLE known)
    foreach(arch IN LISTS cuda_all_archs)
      string(REGEX REPLACE "a$" "" base ${arch})
      if(known MATCHES "compute_${base}[\r\n]")
        list(APPEND cuda_archs ${arch})
      endif()
    endforeach()
    string(REPLACE ";" "," cuda_archs "${cuda_archs}+ptx")
  endif()
  string(REPLACE "," ";" cuda_arch_list "${cuda_archs}")
  set(gencode "")
  foreach(arch IN LISTS cuda_arch_list)
    if(arch MATCHES "^([0-9]+)\\+ptx$")
      list(APPEND gencode "-gencode=arch=compute_${CMAKE_MATCH_1},code=[sm_${CMAKE_MATCH_1},compute_${CMAKE_MATCH_1}]")
    else()
      list(APPEND gencode "-gencode=arch=compute_${arch},code=sm_${arch}")
    endif()
  endforeach()
  message(STATUS "CUDA plug-in: nvcc ${CMAKE_CUDA_COMPILER_VERSION}, ${cuda_archs}")

  file(GLOB cuda_sources CONFIGURE_DEPENDS native/backend/cuda/*.cpp native/backend/cuda/*.cu
    native/backend/cuda/backend/*.cpp native/backend/cuda/kernels/*.cu)
  # What the plug-in and the programs for a card (native/backend/cuda/test/card) are both made of.
  list(FILTER cuda_sources EXCLUDE REGEX "/plugin\\.cpp$")
  add_library(mlit_cuda_parts OBJECT EXCLUDE_FROM_ALL ${cuda_sources})
  add_library(mlit_cuda SHARED $<TARGET_OBJECTS:mlit_cuda_parts> native/backend/cuda/plugin.cpp native/core/error.cpp)
  set_target_properties(mlit_cuda PROPERTIES PREFIX "" SUFFIX ".so" LINKER_LANGUAGE CUDA)
  string(REGEX MATCH "^[0-9]+" toolkit_major ${CMAKE_CUDA_COMPILER_VERSION})
  set(cuda_definitions ${MLIT_INTERFACE} MLIT_CUDA_TOOLKIT_MAJOR=${toolkit_major} MLIT_CUDA_ARCHS="${cuda_archs}")
  set(cuda_host_options $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -Werror -ffp-contract=off>)
  set(cuda_device_options
    "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-Werror all-warnings -Xcompiler -Wall -lineinfo --threads 0 -Xfatbin -compress-all>"
    "$<$<COMPILE_LANGUAGE:CUDA>:${gencode}>")
  foreach(target mlit_cuda_parts mlit_cuda)
    target_include_directories(${target} PRIVATE native)
    target_include_directories(${target} SYSTEM PRIVATE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
    target_compile_definitions(${target} PRIVATE ${cuda_definitions})
    target_compile_options(${target} PRIVATE ${cuda_host_options} ${cuda_device_options})
  endforeach()
  set_property(TARGET mlit_cuda PROPERTY LINK_DEPENDS ${CMAKE_SOURCE_DIR}/native/backend/cuda/exports.map)
  target_link_options(mlit_cuda PRIVATE
    -Wl,--version-script=${CMAKE_SOURCE_DIR}/native/backend/cuda/exports.map -Wl,--as-needed -Wl,--exclude-libs,ALL
    -Wl,-z,nodelete -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--no-undefined)
  target_link_libraries(mlit_cuda PRIVATE Threads::Threads ${CMAKE_DL_LIBS})
  include(native/backend/cuda/test/card/card.cmake)
endif()

# Doubles that stand beside a copy of the addon in tests: a plug-in that says what a test's environment tells it and computes on the
# CPU behind addresses that are mapped nowhere; the real entry points over the same; and NVIDIA's two libraries.
add_library(mlit_double_parts OBJECT EXCLUDE_FROM_ALL
  ${cuda_probe_sources} native/test/host_backend.cpp native/test/host_backend_ops.cpp)
target_link_libraries(mlit_double_parts PRIVATE mlit_flags)
set(double_parts $<TARGET_OBJECTS:mlit_double_parts>)
set(entry_points native/backend/cuda/plugin.cpp native/test/cuda/backend_double.cpp)
add_library(mlit_double_plugin SHARED EXCLUDE_FROM_ALL native/test/cuda/plugin_double.cpp ${double_parts})
add_library(mlit_double_cuda SHARED EXCLUDE_FROM_ALL ${entry_points} ${double_parts})
target_compile_definitions(mlit_double_cuda PRIVATE
  MLIT_CUDA_TOOLKIT_MAJOR=13 MLIT_CUDA_ARCHS="80,90a")
foreach(double mlit_double_plugin mlit_double_cuda)
  target_compile_definitions(${double} PRIVATE ${MLIT_INTERFACE})
  target_link_libraries(${double} PRIVATE mlit_core ${CMAKE_DL_LIBS})
  target_link_options(${double} PRIVATE -Wl,--version-script=${CMAKE_SOURCE_DIR}/native/backend/cuda/exports.map)
endforeach()
add_library(mlit_double_driver SHARED EXCLUDE_FROM_ALL native/test/cuda/driver_double.cpp)
add_library(mlit_double_cublaslt SHARED EXCLUDE_FROM_ALL native/test/cuda/cublaslt_double.cpp)
foreach(double mlit_double_driver mlit_double_cublaslt)
  target_link_libraries(${double} PRIVATE mlit_flags)
endforeach()
add_custom_target(mlit_doubles DEPENDS mlit_double_plugin mlit_double_cuda
                                       mlit_double_driver mlit_double_cublaslt)
set_target_properties(mlit_double_plugin mlit_double_cuda mlit_double_driver
                      mlit_double_cublaslt PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/doubles)
