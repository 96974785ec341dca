-- Accepts a command that replays a dead letter; a dead letter that was replayed before answers with that command.
-- KEYS  1 base of the slot
-- ARGV  dead letter, '1' if unsafe ones are permitted, then see accept.lua
-- Output  'tried' and what acceptance puts · 'unknown' · 'other' (no dead letter) · 'unsafe'

local of = command(arg(1))
if not of or of.cp ~= arg(4) then
  put('unknown')
elseif not is_dead(of) then
  put('other')
elseif of.replayed ~= '' then
  local c = command(of.replayed)
  put('tried')
  put('known')
  put(of.replayed)
  put(c and c.st or '')
elseif of.cl == 'u' and arg(2) ~= '1' then
  put('unsafe')
else
  put('tried')
  local id = accept(3)
  if id then
    of.replayed = id
    redis.call('SET', key('e:' .. of.id), pack_ended(of), 'KEEPTTL')
  end
end
return reply()
