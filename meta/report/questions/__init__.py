"""The six questions, a file each: the sentence that answers it, and what its section of the page
shows. The files are called like the sections."""
