-- Leaves a tombstone that keeps the version, if this connection is still the current one.
-- KEYS  1 base of the slot
-- ARGV  charge point, incarnation, version
-- Output  '1' if it was the current one

put(tombstone(arg(1), arg(2), arg(3)) and '1' or '0')
return reply()
