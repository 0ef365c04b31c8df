#pragma once

// The loops of the two workers. They return when ListenerShallStop().

namespace tsext::pg {

void RunUdpListener();
void RunHttpListener();

}  // namespace tsext::pg
