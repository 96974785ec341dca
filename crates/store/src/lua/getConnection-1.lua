-- Reads what is known of one charge point.
-- KEYS  1 base of the slot
-- ARGV  charge point
-- Output  a list of no or one device

local d = device(arg(1))
put(d.fresh and '0' or '1')
if not d.fresh then put_device(d) end
return reply()
