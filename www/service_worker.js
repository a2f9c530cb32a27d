// Here, and not beside the page, because a service worker serves what is below its own address: the page in demo/ and the
// package in dist/.
importScripts("./dist/demo/service_worker.js");
