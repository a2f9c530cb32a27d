"""Times of day -> 24 hours."""
import random

from .field import Field

ID, TITLE, TAGS = "time", "Times of day", ["time", "24 hours"]
DESCRIPTION = "Writes times on the 24-hour clock: quarter past 3 pm becomes 15:15."

CONTEXTS = [
    "at {}", "from {}", "until {}", "before {}", "after {}", "around {}", "by {}", "starts at {}", "ends at {}", "opens at {}", "time: {}", "Time {}",
    "closes at {}", "the train leaves at {}", "lunch at {}", "the bus at {}", "wake me at {}", "doors open {}", "call me at {}", "dinner at {}",
    "the flight is at {}", "check in after {}", "not before {}", "meet at {}", "the train to {place} at {}", "coffee with {name} at {}", "{name} comes at {}",
    "the doctor at {}", "the meeting starts at {}", "I can be there at {}", "see you at {}", "school ends at {}", "the shop closes at {}", "the film is at {}",
]
VOCABULARY = [" am", " pm", "am", "pm", "AM", "PM", " AM", " PM", " a.m.", " p.m.", "a.m.", "p.m.", " o'clock", " quarter", " half", " past", " noon",
              " morning", " afternoon", " evening", " hrs", " sharp", " in", " the"]


def sample(rng: random.Random) -> Field:
    h = rng.choice((rng.randrange(24), rng.randrange(7, 23)))
    m = rng.choice((0, 15, 30, 45, rng.randrange(60), rng.randrange(60), rng.randrange(60), rng.randrange(60)))
    clean = f"{h:02}:{m:02}"
    twelve = (h - 1) % 12 + 1
    part = "am" if h < 12 else "pm"
    mark = rng.choice((part, part, part.upper(), f"{part[0]}.m."))
    gap = rng.choice(("", " "))
    roll = rng.random()
    if m == 0 and roll < 0.5:
        messy = f"{twelve}{gap}{mark}"
    elif m == 0 and roll < 0.8 and h != 0:
        messy = f"{twelve} o'clock in the " + ("morning" if h < 12 else "afternoon" if h < 18 else "evening")
    elif m in (15, 30) and roll < 0.4:
        messy = f"{'quarter' if m == 15 else 'half'} past {twelve}{gap}{mark}"
    elif roll < 0.8:
        messy = f"{twelve}{rng.choice(':::.')}{m:02}{gap}{mark}"
    elif roll < 0.87:
        messy = f"{h:02}{m:02} hrs"
    elif roll < 0.95:
        messy = f"{h}h{m:02}"
    else:
        messy = f"{h:02}.{m:02} hrs"
    return Field(clean, messy, clean)
