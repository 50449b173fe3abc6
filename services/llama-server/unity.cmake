# build.sh has cmake include this once llama.cpp's project has begun. Files that each parse the same large headers are
# compiled several at a time, which takes a sixth off the build; those left out do not compile so.
function(atlas_unity)
    set_target_properties(llama-common mtmd PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
    set_source_files_properties(${CMAKE_SOURCE_DIR}/common/json.cpp
        DIRECTORY common PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    set_source_files_properties(
        ${CMAKE_SOURCE_DIR}/tools/mtmd/mtmd-helper.cpp ${CMAKE_SOURCE_DIR}/tools/mtmd/mtmd-helper-gen.cpp
        DIRECTORY tools/mtmd PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

cmake_language(DEFER CALL atlas_unity)

if(ATLAS_TILES)
    add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:SHELL:-include ${CMAKE_CURRENT_LIST_DIR}/tiles.h>")
endif()
