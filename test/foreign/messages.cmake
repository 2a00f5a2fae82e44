# Messages that lie in msg/ of the calling package, for Python alone: without the C++ that its generators know as well
# they are built in half the time. `needs`: packages of the messages that they use, beside std_msgs.
function(foreign_messages)
  cmake_parse_arguments(given "" "" "needs" ${ARGN})
  set(used std_msgs ${given_needs})
  foreach(package ament_cmake rosidl_default_generators ${used})
    find_package(${package} REQUIRED)
  endforeach()
  list(FILTER AMENT_EXTENSIONS_rosidl_generate_idl_interfaces EXCLUDE REGEX "_cpp:")
  file(GLOB messages RELATIVE "${CMAKE_CURRENT_SOURCE_DIR}" CONFIGURE_DEPENDS msg/*.msg)
  rosidl_generate_interfaces(${PROJECT_NAME} ${messages} DEPENDENCIES ${used})
  ament_package()
endfunction()
