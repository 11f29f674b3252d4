// The cursor of a token timeline follows its player: clips share the time of the video equally.
document.addEventListener('timeupdate', (event) => {
  const video = event.target;
  const holder = video.closest('[id]');
  if (!holder || !video.duration) return;
  document.querySelectorAll('.timeline').forEach((timeline) => {
    if (!video.closest('#' + CSS.escape(timeline.dataset.player))) return;
    const clips = Number(timeline.dataset.clips);
    const place = Math.min(video.currentTime / video.duration, 0.9999) * clips;
    timeline.querySelectorAll('.clip').forEach((clip, number) => {
      const cursor = clip.querySelector('.cursor');
      const from = Number(cursor.dataset.from), to = Number(cursor.dataset.to);
      const x = number === Math.floor(place) ? from + (place - number) * (to - from) : -9;
      cursor.setAttribute('x1', x);
      cursor.setAttribute('x2', x);
    });
  });
}, true);
