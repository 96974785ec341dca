-- Counts what the slot holds.
-- KEYS  1 base of the slot
-- ARGV  none
-- Output  open commands, all commands, dead letters, connections, outbox entries, notes, timers due

put(str(redis.call('ZCARD', key('due'))))
put(str(redis.call('ZCARD', key('all'))))
put(str(redis.call('ZCARD', key('dl'))))
put(str(redis.call('ZCARD', key('conn'))))
put(str(redis.call('XLEN', key('out'))))
put(str(redis.call('HLEN', key('notes'))))
put(str(redis.call('ZCOUNT', key('due'), '-inf', str(NOW))))
return reply()
