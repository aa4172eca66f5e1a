"""Archives as Linux unpacks them into a VM's first file system: cpio in the format "newc". Several may follow each other."""

FOLDER, FILE, PROGRAM = 0o040755, 0o100644, 0o100755


def cpio(entries):
    """Of (path, mode, bytes), folders before what is in them."""
    return b"".join(member(number, *entry) for number, entry in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1))


def member(number, path, mode, data):
    name = path.encode() + b"\0"
    #       inode   mode  uid gid links time  length     devices     name's length  checksum
    head = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
    text = b"070701" + "".join(f"{field:08x}" for field in head).encode() + name
    return padded(text) + padded(data)


def padded(data):
    return data + bytes(-len(data) % 4)
