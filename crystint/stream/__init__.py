"""Messages of detectors and their data-acquisition programs: from bytes to values and back. No sockets, no devices."""
