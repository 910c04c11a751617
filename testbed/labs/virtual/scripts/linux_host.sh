# A host with a kernel TCP/IP stack: everything is there already.
