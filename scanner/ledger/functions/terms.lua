-- What a claim needs of its member where its campaign's plan has it, in this order in the frame:
--   timed     from:6 | until:6                  the rules were judged for the moments in [from, until)
--   limited   counts k:2 | day:4 | day until:6
--   kept      wallet k:2
--   shared    share k:2

local NO_TERMS = {}

-- Returns the terms and where the frame goes on; or nil and the verdict.
local function read_terms(session, frames, next, plan)
  local terms = {}
  if plan.timed then
    local from, until_ms
    from, until_ms, next = unpack_bytes('>I6I6', frames, next)
    if session.now < from or session.now >= until_ms then
      return nil, 'T' .. pack_bytes('>I6', session.now)
    end
  end
  if plan.limited then
    local k
    k, terms.day, terms.day_until, next = unpack_bytes('>I2I4I6', frames, next)
    terms.counts = once(session.counts, session, k, read_counts)
    if not terms.counts then
      return nil, 'Y'
    end
  end
  if plan.kept then
    local k
    k, next = unpack_bytes('>I2', frames, next)
    terms.wallet = once(session.wallets, session, k, read_wallet)
    if not terms.wallet then
      return nil, 'Y'
    end
  end
  if plan.shared then
    terms.share_k, next = unpack_bytes('>I2', frames, next)
    if not read('HLEN', session.keys[terms.share_k]) then
      return nil, 'Y'
    end
  end
  return terms, next
end

local function limit_reached(resets_at)
  return 'L' .. pack_bytes('>I6', resets_at)
end
