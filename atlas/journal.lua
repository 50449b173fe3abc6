-- The one script every journal write goes through: all checks first, then all writes (Lua does not roll back).
--
-- KEYS  1 journal stream   2 marks set   3 deadlines zset   4 tasks zset   5 late-token hash   6 dead letters
--       7 the delivery's queue ('-' for none)   8.. the queues of the commands to issue
-- ARGV  1 one JSON object:
--   task      id of the task
--   expected  events the caller has seen; another number in the journal is a CONFLICT
--   once      names what this append may do only once (a command's answer, a call, 'submit', 'deadline'), or nil
--   version   of the schema of events and commands
--   events    JSON texts, appended as N-0, so that Redis itself refuses a second event N
--   commands  [{id, body, queue = index into KEYS}] put on their queues unless they ever were before
--   revoked   command ids whose answers are no longer wanted
--   delivery  {group, id}: acknowledged and deleted, unless the answer is CONFLICT
--   tokens    what the work cost, counted as late when its result is dropped
--   closes, deadline_s, bury (JSON text for the dead-letter stream)
-- Returns {OK | CONFLICT | ANSWERED | CLOSED, events in the journal}
local r = cjson.decode(ARGV[1])
local journal, marks = KEYS[1], KEYS[2]
local head = redis.call('XLEN', journal)

local outcome = 'OK'
if redis.call('SISMEMBER', marks, 'closed') == 1 then
  outcome = 'CLOSED'
elseif r.once and redis.call('SISMEMBER', marks, 'done:' .. r.once) == 1 then
  outcome = 'ANSWERED'
elseif head ~= r.expected then
  return {'CONFLICT', head}
end

if r.delivery then
  redis.call('XACK', KEYS[7], r.delivery.group, r.delivery.id)
  redis.call('XDEL', KEYS[7], r.delivery.id)
end
if outcome ~= 'OK' then
  if r.tokens > 0 then redis.call('HINCRBY', KEYS[5], r.task, r.tokens) end
  return {outcome, head}
end

local time = redis.call('TIME')
local now = time[1] .. '.' .. string.format('%06d', time[2])
for i, event in ipairs(r.events) do
  redis.call('XADD', journal, (head + i) .. '-0', 't', now, 'v', r.version, 'e', event)
end
if r.once then redis.call('SADD', marks, 'done:' .. r.once) end
for _, id in ipairs(r.revoked) do redis.call('SADD', marks, 'done:' .. id) end
for _, c in ipairs(r.commands) do
  if redis.call('SADD', marks, 'issued:' .. c.id) == 1 then
    redis.call('XADD', KEYS[c.queue], '*', 'task', r.task, 'v', r.version, 'command', c.body)
  end
end
if r.once == 'submit' then
  redis.call('ZADD', KEYS[3], time[1] + r.deadline_s, r.task)
  redis.call('ZADD', KEYS[4], now, r.task)
elseif r.once == 'deadline' then
  redis.call('ZREM', KEYS[3], r.task)
end
if r.bury then redis.call('XADD', KEYS[6], '*', 'task', r.task, 'letter', r.bury) end
if r.closes then
  redis.call('SADD', marks, 'closed')
  redis.call('ZREM', KEYS[3], r.task)
end
if r.closes or #r.revoked > 0 then redis.call('PUBLISH', '{atlas}:stopped', r.task) end
return {'OK', head + #r.events}
