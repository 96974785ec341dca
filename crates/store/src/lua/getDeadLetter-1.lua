-- Reads one dead letter with its attempts.
-- KEYS  1 base of the slot
-- ARGV  id
-- Output  'unknown' · 'other' (no dead letter) · 'dead' command attempts replay

local c = command(arg(1))
if not c then
  put('unknown')
elseif not is_dead(c) then
  put('other')
else
  put('dead')
  put_dead_letter(OUT, c)
end
return reply()
