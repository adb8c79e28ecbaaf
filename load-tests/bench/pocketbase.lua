-- As requests.lua, for PocketBase with what bench_peers.py fills: wrk … -s pocketbase.lua URL -- OPERATION EVENTS TOKENS SEED
local operation, events, tokens, people, answered = nil, 0, {}, 0, {}

local function headers(person, json)
  local all = { ["authorization"] = tokens[person + 1] }
  if json then all["content-type"] = "application/json" end
  return all
end

local function any_person()
  return math.random(0, #tokens - 1)
end

local function public()
  local n = math.random(0, events - 1)
  if n % 4 == 0 then n = n + 1 end
  return n
end

local EVENT = '{"organizer":"u%014d","title":"Harbour meeting %d","description":"' .. string.rep("What there is to talk about. ", 7)
  .. '","location":"Pier %d","start":"2027-06-%02d 16:00:00.000Z","end":"2027-06-%02d 18:00:00.000Z","start_zone":"Europe/Berlin",'
  .. '"end_zone":"Europe/Berlin","capacity":50,"visibility":"public","status":"confirmed","waitlist_enabled":true,'
  .. '"tags":["tag%d","harbour"],"metadata":{"room":%d,"catering":true}}'
local STATUSES = { "accepted", "declined", "tentative" }

local OPERATIONS = {
  get = function()
    return wrk.format("GET", string.format("/api/collections/events/records/e%014d", public()), headers(any_person()))
  end,
  page = function()
    -- Without the count of all, which Convoke does not give either.
    return wrk.format("GET", "/api/collections/events/records?perPage=50&skipTotal=1&sort=start,id", headers(any_person()))
  end,
  answer = function()
    local person = any_person()
    local event = (math.floor(person / 2) + math.random(0, 39) * math.floor(people / 2)) % events
    local path = string.format("/api/collections/participants/records/p%014d", 2 * event + person % 2)
    local said = (answered[path] or 0) % 3 + 1
    answered[path] = said
    return wrk.format("PATCH", path, headers(person, true), '{"status":"' .. STATUSES[said] .. '"}')
  end,
  create = function()
    local day, n, person = math.random(1, 30), math.random(0, 999999), any_person()
    local event = string.format(EVENT, person, n, n % 7, day, day, n % 50, n % 100)
    return wrk.format("POST", "/api/collections/events/records", headers(person, true), event)
  end,
}

function init(args)
  operation, events = OPERATIONS[args[1]], tonumber(args[2])
  people = math.floor(events / 20)
  for line in io.lines(args[3]) do tokens[#tokens + 1] = line end
  math.randomseed(tonumber(args[4]))
  if operation == nil then error("unknown operation " .. tostring(args[1])) end
end

function request()
  return operation()
end

done = dofile(string.match(debug.getinfo(1, "S").source, "^@(.*/)") .. "summary.lua")
