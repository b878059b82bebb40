"""A record that is complete but for its place in the log."""

import msgspec


class Draft(msgspec.Struct, frozen=True, array_like=True):
    """One encoded record in two parts, between which the writer puts the sequence number.

    The line on disk is `head + str(seq).encode() + tail + b"\\n"`. `head` starts with `{"timestamp":"` and
    ends in `"seq":`; `tail` starts with `,"event_id":"` and ends in `}`; neither contains a newline.
    `event_id` is unique per record: by it a record that is sent twice is recognised.
    """

    head: bytes
    tail: bytes
    event_id: str
