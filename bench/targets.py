"""What issue 2 asks of a pair that `inv lb.setup` made, in the words of the table."""

from typing import Final

TARGETS: Final = {
    "haproxy-stop": "<= 100",
    "haproxy-kill": "<= 100",
    "power-off": "<= 750",
    "cut": "<= 750",
    "heal": "0",
    "hand-over": "0",
    "hand-back": "0",
    "hang": "<= 2500",
    "change": "0",
    "overload": "0 moves",
    "busy-masters": "0 failed, 0 moves",
    "slow-1.5": "0 failed, 0 moves",
    "slow-4": "0 failed, 0 moves",
    "slow-kill": "<= 500",
    "master-off": "0 failed, none > 1 s",
}
