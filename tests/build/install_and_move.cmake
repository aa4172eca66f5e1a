# Installs the build to FIRST, then moves it to THEN: what is used afterwards shows that nothing remembers where it was put.
file(REMOVE_RECURSE ${FIRST} ${THEN})
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --config "${CONFIG}" --prefix ${FIRST}
  OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
file(RENAME ${FIRST} ${THEN})
