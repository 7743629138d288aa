import { suite } from "./suite.mjs";

suite("rivetkit");
