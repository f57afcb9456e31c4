/** A sound for alarms: off until somebody wants it. */
import { Signal } from "../signal.ts";

const NAME = "crystint.alarm-sound";

export class Sound {
  readonly on = new Signal(localStorage.getItem(NAME) === "on");
  #context: AudioContext | null = null;

  constructor() {
    this.on.follow((on) => {
      localStorage.setItem(NAME, on ? "on" : "off");
      if (on) this.ring();
    });
  }

  /** Two short tones. */
  ring(): void {
    if (!this.on.value) return;
    this.#context ??= new AudioContext();
    const context = this.#context;
    void context.resume();
    for (const [index, pitch] of [880, 660].entries()) {
      const oscillator = context.createOscillator(), gain = context.createGain();
      const begin = context.currentTime + 0.22 * index;
      oscillator.frequency.value = pitch;
      gain.gain.setValueAtTime(0, begin);
      gain.gain.linearRampToValueAtTime(0.2, begin + 0.02);
      gain.gain.linearRampToValueAtTime(0, begin + 0.2);
      oscillator.connect(gain).connect(context.destination);
      oscillator.start(begin);
      oscillator.stop(begin + 0.22);
    }
  }
}
