# ROS 2 wheels carry CMake targets that name include directories of the machine they were built on, and CMake refuses
# imported targets with directories that do not exist. Given as CMAKE_PROJECT_INCLUDE, this drops those directories once
# every find_package call has run. It changes nothing where ROS 2 is installed properly.
function(_relocate_targets directory)
  get_property(targets DIRECTORY "${directory}" PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(directories ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(directories)
      set(kept "")
      foreach(path IN LISTS directories)
        if(NOT IS_ABSOLUTE "${path}" OR EXISTS "${path}")
          list(APPEND kept "${path}")
        endif()
      endforeach()
      set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${kept}")
    endif()
  endforeach()
endfunction()
cmake_language(DEFER DIRECTORY "${CMAKE_SOURCE_DIR}" CALL _relocate_targets "${CMAKE_SOURCE_DIR}")
