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
--   lot k:2 | claims k:2 | campaign k:2 | slot:1 | serial:4 | member digest:8 | details digest:8
--   | pools:1 | {pool k:2, pool number:1, draw:6} … | FIELDS, each length:2 and its bytes
-- Reply: one string a claim, its first byte the verdict:
--   A record  accepted          R record  the same member's claim of before
--   C at:6    someone else was first
--   B blocked   N not active   S campaign not started   O campaign over
--   X the lot's campaign or its version is another one: read them again
--   Y a key is missing or broken: not ready

local FIELDS = { 'id', 'campaign', 'member', 'role', 'tier', 'channel', 'seller', 'inviter', 'product',
  'lot', 'serial', 'loc', 'rules', 'trace' }
local CAMPAIGN, RULES = 2, 13
local POOL_BYTES = 9
local HEAD = '>I2I2I2I1I4c8c8I1'
-- One I2c0 a field; spelled out, because a library may not call anything while it is loaded.
local STRINGS = '>I2c0I2c0I2c0I2c0I2c0I2c0I2c0I2c0I2c0I2c0I2c0I2c0I2c0I2c0'

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
  local pools = {}
  for _, pool in ipairs(cjson.decode(text).pools) do
    pools[pool.no] = pool
  end
  if plans_count == PLANS_MAX then
    plans, plans_count = {}, 0
  end
  plans[name], plans_count = pools, plans_count + 1
  return pools
end

local function read_lot(key)
  local fields = read('HMGET', key, 'campaign', 'state', 'active')
  if not fields or not fields[1] then
    return nil
  end
  return { campaign = fields[1], state = fields[2], ranges = lot_ranges(fields[3]) }
end

local function read_campaign(key)
  local fields = read('HMGET', key, 'no', 'version', 'starts', 'ends')
  if not fields or not fields[2] then
    return nil
  end
  return { no = tonumber(fields[1]), version = fields[2], starts = tonumber(fields[3]),
    ends = tonumber(fields[4]), pools = plan_of(key, fields[2]) }
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

  -- Draws from each pool that the scan enters, and takes what was won; nil where a pool is not ready.
  local function draw_all(frame, next, count, campaign)
    local entered, drawn, awards, blanks = {}, {}, {}, {}
    for i = 1, count do
      local k, no, ticket
      k, no, ticket, next = struct.unpack('>I2I1I6', frame, next)
      local pool, rules = once(pools, k, read_pool), campaign.pools[no]
      if not pool or not rules or not is_complete(rules, pool) then
        return nil
      end
      entered[i] = { pool, rules, ticket }
    end
    for i = 1, count do
      local pool, rules, ticket = unpack(entered[i])
      local prize = draw(rules, pool, ticket)
      if prize then
        take(pool, prize)
        touched[pool] = true
        drawn[#drawn + 1] = string.char(rules.no, prize.no)
        if prize.award == '' then
          blanks[#blanks + 1] = '"' .. rules.id .. '/' .. prize.id .. '"'
        else
          awards[#awards + 1] = prize.award
        end
      end
    end
    return table.concat(drawn), '[' .. table.concat(awards, ',') .. ']', blanks
  end

  local function judge(frame)
    local lot_k, claims_k, campaign_k, slot, serial, member, details, count, next = struct.unpack(HEAD, frame)
    local lot = once(lots, lot_k, read_lot)
    if not ready or not lot then
      return 'Y'
    end
    local place = claims_k * 64 + slot
    local record = claims[place]
    if record == nil then
      record = read('HGET', keys[claims_k], slot)
      if record == nil then
        return 'Y'
      end
    end
    if record then
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
    local fields = { struct.unpack(STRINGS, frame, next + count * POOL_BYTES) }
    if lot.campaign ~= fields[CAMPAIGN] then
      return 'X'
    end
    local campaign = once(campaigns, campaign_k, read_campaign)
    if not campaign or not campaign.pools then
      return 'Y'
    end
    if campaign.version ~= fields[RULES] then
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
    record = struct.pack('>I6I2c8c8', now, campaign.no, member, details) .. drawn
    claims[place] = record
    accepted[#accepted + 1] = { keys[claims_k], slot, record, fields, awards, blanks }
    return 'A' .. record
  end

  for i, frame in ipairs(frames) do
    replies[i] = judge(frame)
  end

  for _, scan in ipairs(accepted) do
    local key, slot, record, fields, awards, blanks = unpack(scan)
    redis.call('HSET', key, slot, record)
    local entry = { 'type', 'scan.accepted', 'at', at }
    for f = 1, #FIELDS do
      if fields[f] ~= '' then
        entry[#entry + 1] = FIELDS[f]
        entry[#entry + 1] = fields[f]
      end
    end
    entry[#entry + 1] = 'awards'
    entry[#entry + 1] = awards
    if #blanks > 0 then
      entry[#entry + 1] = 'blanks'
      entry[#entry + 1] = '[' .. table.concat(blanks, ',') .. ']'
    end
    redis.call('XADD', events, '*', unpack(entry))
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
