-- Reads one command.
-- KEYS  1 base of the slot
-- ARGV  id
-- Output  a list of no or one command

local c = command(arg(1))
put(c and '1' or '0')
if c then pack(OUT, c, true) end
return reply()
