"""An OpenAI-style HTTP server around one model, and the engine that runs its requests.

engine        one thread that owns the model: lanes, admission by cost, cancellation; knows nothing of HTTP
answers       conversations as answers, many at once
model_tasks   images, videos and tokens as tasks of the engine
media_gate    images and videos of requests, read in worker processes with limits
jobs          videos as jobs on disk
app           routes, keys, bounds, errors, measures
"""
