-- What a batch of claims has read, and what it will write. Each key is read once a batch, everything is judged on
-- what was read, and only then is anything written: after the first write nothing can fail any more.
-- Lot: see lot_register. Campaign: see campaign_apply.

-- What every claim needs, by names of its own: looking it up as a global each time costs as much as three lines. A
-- library may not touch them while it is loaded, so every batch sets them.
local unpack_bytes, pack_bytes, unpack_said, call, try

-- Compiled plans by campaign and version, and in each what was told of what it gave (see prizes). A version is the
-- digest of its content, so neither ever goes stale, and the cache is no state. (A function may not keep state: it
-- would not be replicated.)
local plans, plans_count, told_count, PLANS_MAX, TOLD_MAX = {}, 0, 0, 256, 4096

local function plan_of(key, version)
  local name = key .. '@' .. version
  local plan = plans[name]
  if plan then
    return plan
  end
  local text = read('HGET', key, 'plan')
  if not text then
    return nil
  end
  local is_json, decoded = pcall(cjson.decode, text)
  if not is_json or type(decoded) ~= 'table' or type(decoded.pools) ~= 'table' then
    return nil
  end
  plan = decoded
  plan.by_no, plan.told = {}, {}
  for _, pool in ipairs(plan.pools) do
    plan.by_no[pool.no] = pool
    pool.limited = pool.per_day or pool.total
    pool.by_prize, pool.ids = {}, {}
    for i, prize in ipairs(pool.prizes) do
      pool.by_prize[prize.no], pool.ids[i] = prize, prize.id
      prize.item = string.char(pool.no, prize.no)
      prize.name = '"' .. pool.id .. '/' .. prize.id .. '"'
      pool.lucky = pool.lucky or prize.max
      plan.lucky = plan.lucky or prize.max
    end
    pool.is_special = pool.limited or pool.draw == 'locked' or pool.draw == 'shared'
    plan.shared = plan.shared or (pool.draw == 'shared' and pool)
  end
  plan.is_limited = plan.per_day or plan.total
  plan.has_terms = plan.timed or plan.limited or plan.kept or plan.shared
  if plans_count == PLANS_MAX then
    plans, plans_count, told_count = {}, 0, 0
  end
  plans[name], plans_count = plan, plans_count + 1
  return plan
end

local function read_lot(key)
  local fields = read('HMGET', key, 'campaign', 'state', 'active', 'product', 'seller')
  if not fields or not (fields[1] and fields[2] and fields[3] and fields[4]) then
    return nil
  end
  local ranges = lot_ranges(fields[3])
  local first = ranges[1] or { math.huge, -math.huge }  -- mostly the only one
  return { campaign = fields[1], state = fields[2], ranges = ranges, from = first[1], to = first[2],
    product = fields[4], seller = fields[5] or '', no = string.match(key, '%d+$') }
end

local function read_campaign(key, now)
  local fields = read('HMGET', key, 'no', 'version', 'starts', 'ends', 'paused')
  if not fields or not (tonumber(fields[1]) and fields[2] and tonumber(fields[3]) and tonumber(fields[4])) then
    return nil
  end
  local plan = plan_of(key, fields[2])
  return plan and { id = plan.id, version = fields[2], plan = plan, paused = fields[5],
    starts = tonumber(fields[3]), ends = tonumber(fields[4]),
    head = pack_bytes('>I6I2', now, tonumber(fields[1])) }
end

local function new_session(keys, args)
  unpack_bytes, pack_bytes, unpack_said = struct.unpack, struct.pack, cmsgpack.unpack
  call, try = redis.call, redis.pcall
  local now = now_ms()
  return { keys = keys, args = args, events = keys[1], now = now, at = integer(now), ready = ledger_ready(keys[1]),
    lots = {}, campaigns = {}, pools = {}, budgets = {}, counts = {}, wallets = {}, shares = {}, tries = {},
    written = {}, commons = {}, records = {}, accepted = {}, calls = {} }
end

-- The value of a key through its cache; nil where the key is missing or broken.
local function once(cache, session, k, reader)
  local value = cache[k]
  if value == nil then
    value = reader(session.keys[k], session.now) or false
    cache[k] = value
  end
  return value
end

-- The campaign, where it runs and has this version; else nil and the verdict. `id` is the campaign a lot belongs
-- to, where the claim has one.
local function in_force(session, k, version, id)
  local campaign = session.campaigns[k] or once(session.campaigns, session, k, read_campaign)
  if not campaign then
    return nil, 'Y'
  end
  if campaign.version ~= version or (id and id ~= campaign.id) then
    return nil, 'X'
  end
  if campaign.paused then
    return nil, 'P'
  end
  if session.now < campaign.starts then
    return nil, 'S'
  end
  if session.now > campaign.ends then
    return nil, 'O'
  end
  return campaign
end

-- A record's head (scanner/ledger/records.py): what is shorter is none, and broken is *not ready*.
local RECORD_BYTES_MIN = 24

-- A claim was accepted: the record under its key and field, and the entry of the stream. A scan's entry is made where
-- it is written, from what is said, what it has in common, what is told of it, and extras (see add_scan).
local function accept(session, place, key, field, record, entry, common, told, extras)
  session.records[place] = record
  local accepted = session.accepted
  accepted[#accepted + 1] = { key, field, record, entry, common, told, extras }
end

-- Something else happened: an entry of the stream, among those of what was accepted, and no record.
local function happen(session, entry)
  local accepted = session.accepted
  accepted[#accepted + 1] = { false, false, false, entry }
end

-- A command for after the judging.
local function call_later(session, ...)
  session.calls[#session.calls + 1] = { ... }
end
