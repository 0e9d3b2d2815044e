-- claim: a batch of scans. Each code is claimed once and for ever, its prizes leave their pools, and the
-- accepted scan is written to the ledger, all in this one call. Everything is read and judged first, then
-- everything is written: after the first write nothing can fail any more.
--
-- Lot: see lot_register. Campaign and pool: see campaign_apply.
-- Claim record, big-endian, under claims:<lot>:<serial / 64>, field <serial mod 64>:
--   at:6 ms since 1970 | campaign number:2 | member digest:8 | details digest:8 | {pool number:1, prize number:1} …
--   The pairs are what was drawn, blanks included. Numbers, not names: a record is about 30 bytes.
--   The digest of the details lets the audit see an entry of the stream that was changed afterwards.
--
-- KEYS  events, then every lot, campaign, pool and claims key of the batch, once each
-- ARGV  one frame a claim, big-endian; k is an index into KEYS:
--   lot k:2 | claims k:2 | campaign k:2 | slot:1 | serial:4 | member digest:8 | details digest:8 | version:16
--   | pools:1 | {pool k:2, pool number:1, draw:6} … | FIELDS, each length:2 and its bytes
-- Reply: one string a claim, its first byte the verdict:
--   A record  accepted          R record  the same member's claim of before
--   C at:6    someone else was first
--   B blocked   N not active   S campaign not started   O campaign over
--   X the lot's campaign or its version is another one: read them again
--   Y a key is missing or broken: not ready

-- What the entry says beside what the store knows itself; an empty field is left out.
local FIELDS = { 'id', 'member', 'role', 'tier', 'channel', 'seller', 'inviter', 'loc', 'trace' }
local HEAD = '>I2I2I2I1I4c8c8c16I1'
local POOL, POOL_BYTES = '>I2I1I6', 9
-- One I2c0 a field; spelled out, because a library may not call anything while it is loaded.
local STRINGS = '>I2c0I2c0I2c0I2c0I2c0I2c0I2c0I2c0I2c0'

-- Compiled plans by campaign and version. A version is the digest of its content, so a plan never goes stale
-- and the cache is no state. (A function may not keep state: it would not be replicated.)
local plans, plans_count, PLANS_MAX = {}, 0, 256

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
  local pools = {}
  for _, pool in ipairs(decoded.pools) do
    pools[pool.no] = pool
  end
  if plans_count == PLANS_MAX then
    plans, plans_count = {}, 0
  end
  plans[name], plans_count = pools, plans_count + 1
  return pools
end

local function read_lot(key)
  local fields = read('HMGET', key, 'campaign', 'state', 'active', 'product')
  if not fields or not (fields[1] and fields[2] and fields[3] and fields[4]) then
    return nil
  end
  return { campaign = fields[1], state = fields[2], ranges = lot_ranges(fields[3]), product = fields[4],
    no = string.match(key, '%d+$') }
end

local function read_campaign(key)
  local fields = read('HMGET', key, 'no', 'version', 'starts', 'ends')
  if not fields or not (tonumber(fields[1]) and fields[2] and tonumber(fields[3]) and tonumber(fields[4])) then
    return nil
  end
  return { id = string.match(key, '[^:]+$'), no = tonumber(fields[1]), version = fields[2],
    starts = tonumber(fields[3]), ends = tonumber(fields[4]), pools = plan_of(key, fields[2]) }
end

-- How many remain of each prize. Read once a batch and written back once, only where something was taken.
local function read_pool(key)
  local flat = read('HGETALL', key)
  if not flat or #flat == 0 then
    return nil
  end
  local pool = { key = key, remain = {}, taken = {}, total = 0 }
  for i = 1, #flat, 2 do
    local remain = flat[i + 1] == '*' and math.huge or tonumber(flat[i + 1])
    if not remain then
      return nil
    end
    pool.remain[flat[i]] = remain
    pool.total = pool.total + remain
  end
  return pool
end

local function is_active(ranges, serial)
  for _, range in ipairs(ranges) do
    if serial >= range[1] and serial <= range[2] then
      return true
    end
  end
  return false
end

-- The prize that a draw in [0, 2^48) wins, or nil. The published rules: scanner/campaigns/draw.py.
local function draw(rules, pool, ticket)
  local remain = pool.remain
  if rules.draw == 'every' then
    for _, prize in ipairs(rules.prizes) do
      if remain[prize.id] > 0 then
        return prize
      end
    end
  elseif rules.draw == 'deck' then
    if pool.total == 0 then
      return nil
    end
    local rest = ticket % pool.total
    for _, prize in ipairs(rules.prizes) do
      rest = rest - remain[prize.id]
      if rest < 0 then
        return prize
      end
    end
  else
    for _, prize in ipairs(rules.prizes) do
      if ticket < prize.below then
        return remain[prize.id] > 0 and prize or nil
      end
    end
  end
  return nil
end

local function take(pool, prize)
  pool.remain[prize.id] = pool.remain[prize.id] - 1
  pool.total = pool.total - 1
  pool.taken[prize.id] = true
end

-- Whether every prize of the plan has its stock in the pool's hash. Judged once a batch.
local function is_complete(rules, pool)
  if pool.complete_for ~= rules then
    for _, prize in ipairs(rules.prizes) do
      if not pool.remain[prize.id] then
        return false
      end
    end
    pool.complete_for = rules
  end
  return true
end

local function claim(keys, frames)
  local events = keys[1]
  local now = now_ms()
  local at = integer(now)
  local ready = ledger_ready(events)
  local lots, campaigns, pools = {}, {}, {}
  local claims, touched = {}, {}
  local replies, accepted = {}, {}

  local function once(cache, k, reader)
    local value = cache[k]
    if value == nil then
      value = reader(keys[k]) or false
      cache[k] = value
    end
    return value
  end

  -- Draws from each pool that the scan enters, and takes what was won. All pools are looked at first: nil, and
  -- nothing taken, where one is not ready. Returns the pairs for the record, the awards, the blanks.
  local function draw_all(frame, next, count, campaign)
    local entered, rules, tickets = {}, {}, {}
    for i = 1, count do
      local k, no
      k, no, tickets[i], next = struct.unpack(POOL, frame, next)
      local pool, rule = once(pools, k, read_pool), campaign.pools[no]
      if not pool or not rule or not is_complete(rule, pool) then
        return nil
      end
      entered[i], rules[i] = pool, rule
    end
    local drawn, awards, blanks = '', '', ''
    for i = 1, count do
      local pool, rule = entered[i], rules[i]
      local prize = draw(rule, pool, tickets[i])
      if prize then
        take(pool, prize)
        touched[pool] = true
        drawn = drawn .. string.char(rule.no, prize.no)
        if prize.award == '' then
          blanks = blanks .. (blanks == '' and '"' or ',"') .. rule.id .. '/' .. prize.id .. '"'
        else
          awards = awards == '' and prize.award or awards .. ',' .. prize.award
        end
      end
    end
    return drawn, awards, blanks
  end

  local function judge(frame)
    local lot_k, claims_k, campaign_k, slot, serial, member, details, version, count, next =
      struct.unpack(HEAD, frame)
    local lot = once(lots, lot_k, read_lot)
    if not ready or not lot then
      return 'Y'
    end
    local place = claims_k * 64 + slot
    local record = claims[place]
    if record == nil then
      record = redis.pcall('HGET', keys[claims_k], slot)
    end
    if record then
      if type(record) ~= 'string' then
        return 'Y'
      end
      if string.sub(record, 9, 16) == member then
        return 'R' .. record
      end
      return 'C' .. string.sub(record, 1, 6)
    end
    if lot.state == 'blocked' then
      return 'B'
    end
    if not is_active(lot.ranges, serial) then
      return 'N'
    end
    local campaign = once(campaigns, campaign_k, read_campaign)
    if not campaign or not campaign.pools then
      return 'Y'
    end
    if lot.campaign ~= campaign.id or campaign.version ~= version then
      return 'X'
    end
    if now < campaign.starts then
      return 'S'
    end
    if now > campaign.ends then
      return 'O'
    end
    local drawn, awards, blanks = draw_all(frame, next, count, campaign)
    if not drawn then
      return 'Y'
    end
    record = struct.pack('>I6I2', now, campaign.no) .. member .. details .. drawn
    claims[place] = record
    local n = #accepted
    accepted[n + 1], accepted[n + 2], accepted[n + 3] = keys[claims_k], slot, record
    local entry = { 'XADD', events, '*', 'type', 'scan.accepted', 'at', at, 'campaign', campaign.id,
      'product', lot.product, 'lot', lot.no, 'serial', serial, 'rules', version }
    local values = { struct.unpack(STRINGS, frame, next + count * POOL_BYTES) }
    local m = #entry
    for f = 1, #FIELDS do
      if values[f] ~= '' then
        entry[m + 1], entry[m + 2], m = FIELDS[f], values[f], m + 2
      end
    end
    entry[m + 1], entry[m + 2] = 'awards', '[' .. awards .. ']'
    if blanks ~= '' then
      entry[m + 3], entry[m + 4] = 'blanks', '[' .. blanks .. ']'
    end
    accepted[n + 4] = entry
    return 'A' .. record
  end

  for i, frame in ipairs(frames) do
    replies[i] = judge(frame)
  end

  for i = 1, #accepted, 4 do
    redis.call('HSET', accepted[i], accepted[i + 1], accepted[i + 2])
    redis.call(unpack(accepted[i + 3]))
  end
  for pool in pairs(touched) do
    local remains = {}
    for prize in pairs(pool.taken) do
      if pool.remain[prize] < math.huge then
        remains[#remains + 1] = prize
        remains[#remains + 1] = integer(pool.remain[prize])
      end
    end
    if #remains > 0 then
      redis.call('HSET', pool.key, unpack(remains))
    end
  end
  return replies
end

redis.register_function('claim_' .. VERSION, claim)
