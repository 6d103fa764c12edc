-- The same as InfluxDB lines.
local stats, bodies = tonumber(os.getenv("STATS")), {}
function init()
  for i = 0, stats - 1 do
    bodies[i] = wrk.format("POST", nil, {}, "requests,stat=" .. i .. " count=1")
  end
end
local i = 0
request = function()
  i = (i + 1) % stats
  return bodies[i]
end
