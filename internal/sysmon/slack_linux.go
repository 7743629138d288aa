package sysmon

import "C" // for slack_linux.c
