# mlit_gpu_tests and mlit_gpu_bench: what somebody with a card runs, without Node and without a model. Included by plugin.cmake, where
# an nvcc is there; built when they are asked for.
set(card_folder native/backend/cuda/test/card)
file(GLOB card_bench CONFIGURE_DEPENDS native/bench/gpu/*.cpp)
file(GLOB card_tests CONFIGURE_DEPENDS native/backend/cuda/test/*.cpp native/test/ops/*.cpp)
file(GLOB card_kernels CONFIGURE_DEPENDS native/backend/cuda/test/*.cu)
# The core without what only an export wants: a copy of sources and build has to stay small.
set(card_core ${core_sources})
list(FILTER card_core EXCLUDE REGEX "/native/export/")
add_library(mlit_card_core STATIC EXCLUDE_FROM_ALL ${card_core} ${kernel_objects})
target_link_libraries(mlit_card_core PUBLIC mlit_flags)
add_library(mlit_card OBJECT EXCLUDE_FROM_ALL ${card_folder}/card.cpp ${card_folder}/counts.cpp ${card_bench})
add_library(mlit_card_kernels OBJECT EXCLUDE_FROM_ALL ${card_kernels})  # apart: mlit_flags has options that nvcc has not
add_executable(mlit_gpu_bench EXCLUDE_FROM_ALL native/bench/gpu/card/main.cpp)
set(card_programs mlit_gpu_bench)
find_package(GTest QUIET)
if(GTest_FOUND)
  add_executable(mlit_gpu_tests EXCLUDE_FROM_ALL ${card_folder}/main.cpp ${card_tests} native/test/fixtures.cpp)
  target_sources(mlit_gpu_tests PRIVATE $<TARGET_OBJECTS:mlit_card_kernels>)
  target_link_libraries(mlit_gpu_tests PRIVATE GTest::gtest)
  list(APPEND card_programs mlit_gpu_tests)
else()
  message(STATUS "mlit_gpu_tests is left out: GoogleTest was not found (Debian: libgtest-dev)")
endif()
foreach(target mlit_card mlit_card_kernels ${card_programs})
  target_include_directories(${target} PRIVATE native)
  target_include_directories(${target} SYSTEM PRIVATE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
  target_compile_definitions(${target} PRIVATE ${cuda_definitions}
    MLIT_VERSION="${package_version}" MLIT_CUDA_TOOLKIT="${CMAKE_CUDA_COMPILER_VERSION}")
  target_compile_options(${target} PRIVATE ${cuda_host_options} ${cuda_device_options})
endforeach()
foreach(target IN LISTS card_programs)
  set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CUDA)
  target_sources(${target} PRIVATE $<TARGET_OBJECTS:mlit_card> $<TARGET_OBJECTS:mlit_cuda_parts>)
  target_link_libraries(${target} PRIVATE mlit_card_core Threads::Threads ${CMAKE_DL_LIBS})
  target_link_options(${target} PRIVATE -s -Wl,--gc-sections  # counts.cpp stands in front of these
    -Wl,--wrap=cudaMalloc -Wl,--wrap=cudaFree -Wl,--wrap=cudaStreamSynchronize -Wl,--wrap=cudaEventSynchronize
    -Wl,--wrap=cudaDeviceSynchronize)
endforeach()
