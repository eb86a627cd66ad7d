"""One thread for everything, before anything imports numpy."""

import one_thread

one_thread.pin()
